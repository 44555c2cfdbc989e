/** Invoices for tests: a plain one, extreme ones, and arbitrary ones that the types hold. */
import { Invoice } from "@invoice/core";
import { Arbitrary, Effect } from "effect";
/** The invoice of the wire contract's example, as a document, by default with a fresh id. */
export declare const document: (overrides?: Readonly<Record<string, unknown>>) => Record<string, unknown>;
/** A plain valid invoice with a fresh id. Throws when the types can't hold it with the overrides. */
export declare const invoice: (overrides?: Readonly<Record<string, unknown>>) => Invoice.Invoice;
/** Many plain valid invoices that differ in their ids. They are parsed once, since some laws need thousands. */
export declare const invoicesOf: (count: number, overrides?: Readonly<Record<string, unknown>>) => ReadonlyArray<Invoice.Invoice>;
/** Decimals as text: up to 17 digits before the point and `scale` after, either sign. */
export declare const decimalText: (scale: number) => Arbitrary.Arbitrary<string>;
/** A currency for each possible number of decimals, and a historic one. */
export declare const currencies: readonly [readonly ["JPY", 0], readonly ["XAU", 0], readonly ["USD", 2], readonly ["EUR", 2], readonly ["KWD", 3], readonly ["CLF", 4], readonly ["DEM", 2]];
/** Any invoice that the types hold, hostile texts and extreme numbers included; most break some rule. */
export declare const anyInvoice: Arbitrary.Arbitrary<Invoice.Invoice>;
/**
 * Invoices for testing an adapter: those of `Extremes`, then generated ones, most of them small and some with texts of
 * the maximum length.
 */
export declare const manyInvoices: Effect.Effect<ReadonlyArray<Invoice.Invoice>>;
//# sourceMappingURL=Generators.d.ts.map