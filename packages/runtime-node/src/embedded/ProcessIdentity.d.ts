export declare const isAlive: (pid: number) => boolean;
/**
 * When a process started: field 22 of proc(5)'s stat, empty on a system without /proc. It distinguishes a process from
 * a later one with the same id.
 */
export declare const startTime: (pid: number) => Promise<string>;
//# sourceMappingURL=ProcessIdentity.d.ts.map