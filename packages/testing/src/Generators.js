/** Invoices for tests: a plain one, extreme ones, and arbitrary ones that the types hold. */
import { Invoice, InvoiceParser } from "@invoice/core";
import { Arbitrary, Effect, Result, Schema } from "effect";
import * as Extremes from "./Extremes.js";
/** The invoice of the wire contract's example, as a document, by default with a fresh id. */
export const document = (overrides = {}) => ({
    id: crypto.randomUUID(),
    customer_id: "c78aef21-ae9f-4561-a2c9-3b7a7ea2f990",
    amount: "1050.00",
    currency: "USD",
    due_date: "2025-06-30T00:00:00Z",
    created_at: "2025-06-01T15:04:05Z",
    updated_at: "2025-06-10T10:22:30Z",
    items: [
        { description: "Website Design", quantity: 1, unit_price: "1000.0", total: "1000.0" },
        { description: "Hosting (1 month)", quantity: 1, unit_price: "50.0", total: "50.0" }
    ],
    notes: "Payment due within 30 days.",
    ...overrides
});
/** A plain valid invoice with a fresh id. Throws when the types can't hold it with the overrides. */
export const invoice = (overrides) => Result.getOrThrow(InvoiceParser.parse(document(overrides)));
/** Many plain valid invoices that differ in their ids. They are parsed once, since some laws need thousands. */
export const invoicesOf = (count, overrides) => {
    const one = invoice(overrides);
    return Array.from({ length: count }, () => ({ ...one, id: crypto.randomUUID() }));
};
const integer = (minimum, maximum) => Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })));
const choice = (options) => Arbitrary.map(integer(0, options.length - 1), (index) => options[index] ?? options[0]);
/**
 * Code points of one to four bytes in UTF-8: control characters except NUL, ASCII, combining marks, scripts, symbols,
 * private use.
 */
const ranges = [
    [0x20, 0x7e],
    [0x20, 0x7e],
    [0x01, 0x1f],
    [0x7f, 0x24f],
    [0x300, 0x36f],
    [0x5d0, 0x6ff],
    [0x2000, 0x206f],
    [0x3040, 0x9fff],
    [0xe000, 0xffff],
    [0x1f300, 0x1faff],
    [0x10000, 0x10ffff]
];
/** The character of a number: one number is ten times faster to generate than a range and a number within it. */
const characterOf = (number) => {
    const [from, to] = ranges[number % ranges.length] ?? ranges[0];
    return String.fromCodePoint(from + (Math.floor(number / ranges.length) % (to - from + 1)));
};
const utf8 = new TextEncoder();
/** Any text that the types hold; the lengths of its characters, by `lengthOf`, add up to `most` at most. */
const text = (most, lengthOf) => Arbitrary.map(Arbitrary.array(integer(0, 2 ** 30), { maxLength: most }), (numbers) => {
    const characters = numbers.map(characterOf);
    let length = 0;
    const tooLong = characters.findIndex((character) => {
        length += lengthOf(character);
        return length > most;
    });
    return (tooLong === -1 ? characters : characters.slice(0, tooLong)).join("");
});
const notes = text(Invoice.limits.notesBytes, (character) => utf8.encode(character).length);
const description = text(Invoice.limits.descriptionLength, (character) => character.length);
const uuid = Arbitrary.map(Arbitrary.array(Arbitrary.schema(Schema.Literals([..."0123456789abcdef"])), { minLength: 32, maxLength: 32 }), (digits) => {
    const hex = digits.join("");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
});
const digit = Arbitrary.schema(Schema.Literals([..."0123456789"]));
/** Up to `length` digits; usually exactly `length`, since most mistakes show there. */
const digits = (length) => Arbitrary.map(Arbitrary.flatMap(choice([0, length, length]), (minLength) => Arbitrary.array(digit, { minLength, maxLength: length })), (list) => list.join(""));
/** Decimals as text: up to 17 digits before the point and `scale` after, either sign. */
export const decimalText = (scale) => Arbitrary.map(Arbitrary.all([Arbitrary.schema(Schema.Boolean), digits(17), digits(scale)]), ([negative, whole, fraction]) => `${negative ? "-" : ""}${whole.replace(/^0+(?=.)/u, "") || "0"}${fraction === "" ? "" : `.${fraction}`}`);
/** RFC 3339 texts in UTC with up to nine fraction digits. */
const timestampText = Arbitrary.map(Arbitrary.all([integer(-62_135_596_800, 253_402_300_799), digits(9)]), ([seconds, fraction]) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}${fraction === "" ? "" : `.${fraction}`}Z`);
const optional = (arbitrary) => Arbitrary.map(Arbitrary.all([Arbitrary.schema(Schema.Boolean), arbitrary]), ([there, value]) => there ? value : undefined);
/** A currency for each possible number of decimals, and a historic one. */
export const currencies = [
    ["JPY", 0],
    ["XAU", 0],
    ["USD", 2],
    ["EUR", 2],
    ["KWD", 3],
    ["CLF", 4],
    ["DEM", 2]
];
/** Any invoice that the types hold, hostile texts and extreme numbers included; most break some rule. */
export const anyInvoice = Arbitrary.flatMap(choice(currencies), ([currency, scale]) => Arbitrary.map(Arbitrary.all({
    id: uuid,
    customer_id: uuid,
    amount: decimalText(scale),
    due_date: optional(timestampText),
    created_at: optional(timestampText),
    updated_at: optional(timestampText),
    items: Arbitrary.array(Arbitrary.all({
        description,
        quantity: decimalText(9),
        unit_price: decimalText(9),
        total: decimalText(scale)
    }), { maxLength: 5 }),
    notes
}), (fields) => Result.getOrThrow(InvoiceParser.parse({ ...fields, currency }))));
/**
 * Invoices for testing an adapter: those of `Extremes`, then generated ones, most of them small and some with texts of
 * the maximum length.
 */
export const manyInvoices = Effect.gen(function* () {
    const small = yield* Arbitrary.sampleEffect(anyInvoice, { count: 60, size: 12 });
    const middle = yield* Arbitrary.sampleEffect(anyInvoice, { count: 20, size: 300 });
    const large = yield* Arbitrary.sampleEffect(anyInvoice, { count: 6, size: Invoice.limits.notesBytes });
    return [...Extremes.documents.map(invoice), ...small, ...middle, ...large];
}).pipe(Effect.orDie);
//# sourceMappingURL=Generators.js.map