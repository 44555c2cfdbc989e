type Document = Readonly<Record<string, unknown>>;
export declare const documents: ReadonlyArray<Document>;
/**
 * Pairs with the smallest differences that two invoices can have: a last digit, a last character, a nanosecond, the
 * order of the last two lines.
 */
export declare const neighbours: ReadonlyArray<readonly [what: string, one: Document, other: Document]>;
export {};
//# sourceMappingURL=Extremes.d.ts.map