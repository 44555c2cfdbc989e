/**
 * Extreme values that the types can hold, where adapters may lose something. Each is given as the fields in which it
 * differs from a plain invoice.
 */
import { Decimal, Invoice } from "@invoice/core";
const nines = "9".repeat(Decimal.maxIntegerDigits);
/** The largest decimal, its negative, the smallest above zero, and two long ones that a double may alter. */
const decimals = (scale) => {
    const fraction = (digits) => (scale === 0 ? "" : `.${digits.slice(-scale)}`);
    return [
        `${nines}${fraction("9".repeat(scale))}`,
        `-${nines}${fraction("9".repeat(scale))}`,
        scale === 0 ? "1" : `0${fraction("1".padStart(scale, "0"))}`,
        `12345678901234567${fraction("891234567")}`,
        `90071992547409${fraction("300000001")}`
    ];
};
const line = (total, price = decimals(Decimal.maxScale)) => ({
    description: "",
    quantity: price[0] ?? "",
    unit_price: price[1] ?? "",
    total
});
const amounts = [
    ["JPY", 0],
    ["XAU", 0],
    ["USD", 2],
    ["KWD", 3],
    ["CLF", 4]
].flatMap(([currency, scale]) => decimals(scale).map((amount, index) => ({
    currency,
    amount,
    items: [line(amount), line(amount, decimals(Decimal.maxScale).slice(index % 4))]
})));
/** Notes up to the limit in bytes, of one repeated character. */
const long = (character) => character.repeat(Math.floor(Invoice.limits.notesBytes / new TextEncoder().encode(character).length));
/** Texts that an adapter alters if it normalizes, trims or escapes texts, or takes them for something else. */
const awkward = [
    "",
    " leading and trailing\t ",
    "\r\nlines\rof\nall kinds\u0085\u2028\u2029",
    "\u0001\u001f\u007f controls, and \\u0000 in words",
    "\ufeff byte order mark",
    "é composed, e\u0301 decomposed, \u1e69 s\u0323\u0307 s\u0307\u0323",
    "ﬁ ligature, Ⅷ, ½, ＡＢＣ, İıſßẞ",
    "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🇵🇱 ✊🏿",
    "مرحبا \u202e right to left \u202c",
    "\ufffd \ufffe \uffff \u{10ffff} \ue000",
    `quotes ' " \` '' \\' \\" \\\\, {"a,b"}, (1,2), NULL, null, \\N, %s, $1`,
    "<a href='?a=b&amp;c'>+%20</a>"
];
const texts = [
    ...["a", "ż", "€", "🧾"].map((character) => ({ notes: long(character) })),
    ...awkward.map((text) => ({ notes: text, items: [{ ...line("1"), description: text }] })),
    { items: ["d", "ż", "€"].map((character) => ({ ...line("1"), description: character.repeat(1_000) })) },
    { items: [{ ...line("1"), description: "🧾".repeat(500) }] }
];
const times = [
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00.000000001Z",
    "0099-12-31T23:59:59.123456789Z",
    "1582-10-10T12:00:00.5Z",
    "1900-02-28T23:59:59.999999999Z",
    "1969-12-31T23:59:59.999999999Z",
    "2000-02-29T00:00:00.000000001Z",
    "2038-01-19T03:14:08.001Z",
    "2262-04-11T23:47:16.854775808Z",
    "9999-12-31T23:59:59.999999999Z"
].map((time) => ({ due_date: time, created_at: time, updated_at: time }));
/** As many lines as an invoice may have, in an order that no sorting gives. */
const manyLines = Array.from({ length: Invoice.limits.lines }, (_, index) => ({
    description: `line ${(index * 7_919) % Invoice.limits.lines}`,
    quantity: `${index}.${String(index + 1).padStart(9, "0")}`,
    unit_price: `-${index}.000000001`,
    total: `${index}.01`
}));
export const documents = [
    ...amounts,
    ...texts,
    ...times,
    { due_date: undefined, created_at: undefined, updated_at: undefined, notes: undefined, items: [] },
    { items: manyLines },
    { items: manyLines.toReversed(), notes: long("🧾") }
];
/**
 * Pairs with the smallest differences that two invoices can have: a last digit, a last character, a nanosecond, the
 * order of the last two lines.
 */
export const neighbours = [
    ["the last digit of an amount", { amount: "12345678901234567.88" }, { amount: "12345678901234567.89" }],
    ["the sign of an amount", { amount: "-0.01" }, { amount: "0.01" }],
    ["the currency", { currency: "USD" }, { currency: "EUR" }],
    [
        "the last digit of a price",
        { items: [{ ...line("1"), unit_price: `${nines}.999999998` }] },
        { items: [{ ...line("1"), unit_price: `${nines}.999999999` }] }
    ],
    ["a nanosecond", { due_date: "9999-12-31T23:59:59.999999998Z" }, { due_date: "9999-12-31T23:59:59.999999999Z" }],
    ["the end of the notes", { notes: `${long("€").slice(1)}a` }, { notes: `${long("€").slice(1)}b` }],
    ["a space", { notes: "notes" }, { notes: "notes " }],
    ["how a letter is composed", { notes: "é" }, { notes: "e\u0301" }],
    ["upper and lower case", { notes: "ss" }, { notes: "SS" }],
    [
        "the order of the last two lines",
        { items: manyLines },
        { items: [...manyLines.slice(0, -2), ...manyLines.slice(-2).toReversed()] }
    ],
    ["whether there is a due date", { due_date: undefined }, {}]
];
//# sourceMappingURL=Extremes.js.map