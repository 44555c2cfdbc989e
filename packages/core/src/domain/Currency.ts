/**
 * ISO 4217 currencies, frozen. Current: list one as published on 2024-06-25 with the later amendments (XCG for ANG, ZWG
 * for ZWL, the end of CUC and BGN); without the codes for testing (XTS) and for no currency (XXX). Historic: XEU, and
 * the currencies withdrawn since 1997 that Java 17's table also has, without its funds codes USS, XFO and XFU; each
 * with the minor units that it had.
 *
 * `Intl` is never used: it has 0 minor units for HUF and IQD, and 2 for an unknown code.
 */
import type { Brand } from "effect"

/** The alphabetic code: three upper-case letters. */
export type CurrencyCode = string & Brand.Brand<"CurrencyCode">

export interface Currency {
  readonly code: CurrencyCode
  /** ISO 4217 numeric code, three digits. */
  readonly numeric: string
  readonly name: string
  /** Decimals of an amount, 0 to 4; 0 for metals and units of account, which have none. */
  readonly minorUnits: number
  /** Month of the withdrawal, `YYYY-MM`; absent for a current currency. */
  readonly withdrawn?: string
}

/** Date of the list that the table was made from. */
export const publishedOn = "2024-06-25"

type Row = readonly [code: string, numeric: string, minorUnits: number, name: string, withdrawn?: string]

// biome-ignore format: a table reads best a row a line
const current: ReadonlyArray<Row> = [
  ["AED", "784", 2, "UAE Dirham"],
  ["AFN", "971", 2, "Afghani"],
  ["ALL", "008", 2, "Lek"],
  ["AMD", "051", 2, "Armenian Dram"],
  ["AOA", "973", 2, "Kwanza"],
  ["ARS", "032", 2, "Argentine Peso"],
  ["AUD", "036", 2, "Australian Dollar"],
  ["AWG", "533", 2, "Aruban Florin"],
  ["AZN", "944", 2, "Azerbaijan Manat"],
  ["BAM", "977", 2, "Convertible Mark"],
  ["BBD", "052", 2, "Barbados Dollar"],
  ["BDT", "050", 2, "Taka"],
  ["BHD", "048", 3, "Bahraini Dinar"],
  ["BIF", "108", 0, "Burundi Franc"],
  ["BMD", "060", 2, "Bermudian Dollar"],
  ["BND", "096", 2, "Brunei Dollar"],
  ["BOB", "068", 2, "Boliviano"],
  ["BOV", "984", 2, "Mvdol"],
  ["BRL", "986", 2, "Brazilian Real"],
  ["BSD", "044", 2, "Bahamian Dollar"],
  ["BTN", "064", 2, "Ngultrum"],
  ["BWP", "072", 2, "Pula"],
  ["BYN", "933", 2, "Belarusian Ruble"],
  ["BZD", "084", 2, "Belize Dollar"],
  ["CAD", "124", 2, "Canadian Dollar"],
  ["CDF", "976", 2, "Congolese Franc"],
  ["CHE", "947", 2, "WIR Euro"],
  ["CHF", "756", 2, "Swiss Franc"],
  ["CHW", "948", 2, "WIR Franc"],
  ["CLF", "990", 4, "Unidad de Fomento"],
  ["CLP", "152", 0, "Chilean Peso"],
  ["CNY", "156", 2, "Yuan Renminbi"],
  ["COP", "170", 2, "Colombian Peso"],
  ["COU", "970", 2, "Unidad de Valor Real"],
  ["CRC", "188", 2, "Costa Rican Colon"],
  ["CUP", "192", 2, "Cuban Peso"],
  ["CVE", "132", 2, "Cabo Verde Escudo"],
  ["CZK", "203", 2, "Czech Koruna"],
  ["DJF", "262", 0, "Djibouti Franc"],
  ["DKK", "208", 2, "Danish Krone"],
  ["DOP", "214", 2, "Dominican Peso"],
  ["DZD", "012", 2, "Algerian Dinar"],
  ["EGP", "818", 2, "Egyptian Pound"],
  ["ERN", "232", 2, "Nakfa"],
  ["ETB", "230", 2, "Ethiopian Birr"],
  ["EUR", "978", 2, "Euro"],
  ["FJD", "242", 2, "Fiji Dollar"],
  ["FKP", "238", 2, "Falkland Islands Pound"],
  ["GBP", "826", 2, "Pound Sterling"],
  ["GEL", "981", 2, "Lari"],
  ["GHS", "936", 2, "Ghana Cedi"],
  ["GIP", "292", 2, "Gibraltar Pound"],
  ["GMD", "270", 2, "Dalasi"],
  ["GNF", "324", 0, "Guinean Franc"],
  ["GTQ", "320", 2, "Quetzal"],
  ["GYD", "328", 2, "Guyana Dollar"],
  ["HKD", "344", 2, "Hong Kong Dollar"],
  ["HNL", "340", 2, "Lempira"],
  ["HTG", "332", 2, "Gourde"],
  ["HUF", "348", 2, "Forint"],
  ["IDR", "360", 2, "Rupiah"],
  ["ILS", "376", 2, "New Israeli Sheqel"],
  ["INR", "356", 2, "Indian Rupee"],
  ["IQD", "368", 3, "Iraqi Dinar"],
  ["IRR", "364", 2, "Iranian Rial"],
  ["ISK", "352", 0, "Iceland Krona"],
  ["JMD", "388", 2, "Jamaican Dollar"],
  ["JOD", "400", 3, "Jordanian Dinar"],
  ["JPY", "392", 0, "Yen"],
  ["KES", "404", 2, "Kenyan Shilling"],
  ["KGS", "417", 2, "Som"],
  ["KHR", "116", 2, "Riel"],
  ["KMF", "174", 0, "Comorian Franc "],
  ["KPW", "408", 2, "North Korean Won"],
  ["KRW", "410", 0, "Won"],
  ["KWD", "414", 3, "Kuwaiti Dinar"],
  ["KYD", "136", 2, "Cayman Islands Dollar"],
  ["KZT", "398", 2, "Tenge"],
  ["LAK", "418", 2, "Lao Kip"],
  ["LBP", "422", 2, "Lebanese Pound"],
  ["LKR", "144", 2, "Sri Lanka Rupee"],
  ["LRD", "430", 2, "Liberian Dollar"],
  ["LSL", "426", 2, "Loti"],
  ["LYD", "434", 3, "Libyan Dinar"],
  ["MAD", "504", 2, "Moroccan Dirham"],
  ["MDL", "498", 2, "Moldovan Leu"],
  ["MGA", "969", 2, "Malagasy Ariary"],
  ["MKD", "807", 2, "Denar"],
  ["MMK", "104", 2, "Kyat"],
  ["MNT", "496", 2, "Tugrik"],
  ["MOP", "446", 2, "Pataca"],
  ["MRU", "929", 2, "Ouguiya"],
  ["MUR", "480", 2, "Mauritius Rupee"],
  ["MVR", "462", 2, "Rufiyaa"],
  ["MWK", "454", 2, "Malawi Kwacha"],
  ["MXN", "484", 2, "Mexican Peso"],
  ["MXV", "979", 2, "Mexican Unidad de Inversion (UDI)"],
  ["MYR", "458", 2, "Malaysian Ringgit"],
  ["MZN", "943", 2, "Mozambique Metical"],
  ["NAD", "516", 2, "Namibia Dollar"],
  ["NGN", "566", 2, "Naira"],
  ["NIO", "558", 2, "Cordoba Oro"],
  ["NOK", "578", 2, "Norwegian Krone"],
  ["NPR", "524", 2, "Nepalese Rupee"],
  ["NZD", "554", 2, "New Zealand Dollar"],
  ["OMR", "512", 3, "Rial Omani"],
  ["PAB", "590", 2, "Balboa"],
  ["PEN", "604", 2, "Sol"],
  ["PGK", "598", 2, "Kina"],
  ["PHP", "608", 2, "Philippine Peso"],
  ["PKR", "586", 2, "Pakistan Rupee"],
  ["PLN", "985", 2, "Zloty"],
  ["PYG", "600", 0, "Guarani"],
  ["QAR", "634", 2, "Qatari Rial"],
  ["RON", "946", 2, "Romanian Leu"],
  ["RSD", "941", 2, "Serbian Dinar"],
  ["RUB", "643", 2, "Russian Ruble"],
  ["RWF", "646", 0, "Rwanda Franc"],
  ["SAR", "682", 2, "Saudi Riyal"],
  ["SBD", "090", 2, "Solomon Islands Dollar"],
  ["SCR", "690", 2, "Seychelles Rupee"],
  ["SDG", "938", 2, "Sudanese Pound"],
  ["SEK", "752", 2, "Swedish Krona"],
  ["SGD", "702", 2, "Singapore Dollar"],
  ["SHP", "654", 2, "Saint Helena Pound"],
  ["SLE", "925", 2, "Leone"],
  ["SOS", "706", 2, "Somali Shilling"],
  ["SRD", "968", 2, "Surinam Dollar"],
  ["SSP", "728", 2, "South Sudanese Pound"],
  ["STN", "930", 2, "Dobra"],
  ["SVC", "222", 2, "El Salvador Colon"],
  ["SYP", "760", 2, "Syrian Pound"],
  ["SZL", "748", 2, "Lilangeni"],
  ["THB", "764", 2, "Baht"],
  ["TJS", "972", 2, "Somoni"],
  ["TMT", "934", 2, "Turkmenistan New Manat"],
  ["TND", "788", 3, "Tunisian Dinar"],
  ["TOP", "776", 2, "Pa’anga"],
  ["TRY", "949", 2, "Turkish Lira"],
  ["TTD", "780", 2, "Trinidad and Tobago Dollar"],
  ["TWD", "901", 2, "New Taiwan Dollar"],
  ["TZS", "834", 2, "Tanzanian Shilling"],
  ["UAH", "980", 2, "Hryvnia"],
  ["UGX", "800", 0, "Uganda Shilling"],
  ["USD", "840", 2, "US Dollar"],
  ["USN", "997", 2, "US Dollar (Next day)"],
  ["UYI", "940", 0, "Uruguay Peso en Unidades Indexadas (UI)"],
  ["UYU", "858", 2, "Peso Uruguayo"],
  ["UYW", "927", 4, "Unidad Previsional"],
  ["UZS", "860", 2, "Uzbekistan Sum"],
  ["VED", "926", 2, "Bolívar Soberano"],
  ["VES", "928", 2, "Bolívar Soberano"],
  ["VND", "704", 0, "Dong"],
  ["VUV", "548", 0, "Vatu"],
  ["WST", "882", 2, "Tala"],
  ["XAF", "950", 0, "CFA Franc BEAC"],
  ["XAG", "961", 0, "Silver"],
  ["XAU", "959", 0, "Gold"],
  ["XBA", "955", 0, "Bond Markets Unit European Composite Unit (EURCO)"],
  ["XBB", "956", 0, "Bond Markets Unit European Monetary Unit (E.M.U.-6)"],
  ["XBC", "957", 0, "Bond Markets Unit European Unit of Account 9 (E.U.A.-9)"],
  ["XBD", "958", 0, "Bond Markets Unit European Unit of Account 17 (E.U.A.-17)"],
  ["XCD", "951", 2, "East Caribbean Dollar"],
  ["XCG", "532", 2, "Caribbean Guilder"],
  ["XDR", "960", 0, "SDR (Special Drawing Right)"],
  ["XOF", "952", 0, "CFA Franc BCEAO"],
  ["XPD", "964", 0, "Palladium"],
  ["XPF", "953", 0, "CFP Franc"],
  ["XPT", "962", 0, "Platinum"],
  ["XSU", "994", 0, "Sucre"],
  ["XUA", "965", 0, "ADB Unit of Account"],
  ["YER", "886", 2, "Yemeni Rial"],
  ["ZAR", "710", 2, "Rand"],
  ["ZMW", "967", 2, "Zambian Kwacha"],
  ["ZWG", "924", 2, "Zimbabwe Gold"]
]

// biome-ignore format: a table reads best a row a line
const historic: ReadonlyArray<Row> = [
  ["ADP", "020", 0, "Andorran Peseta", "2003-07"],
  ["AFA", "004", 2, "Afghani", "2003-01"],
  ["ANG", "532", 2, "Netherlands Antillean Guilder", "2025-03"],
  ["ATS", "040", 2, "Schilling", "2002-03"],
  ["AYM", "945", 2, "Azerbaijan Manat", "2005-10"],
  ["AZM", "031", 2, "Azerbaijanian Manat", "2005-12"],
  ["BEF", "056", 0, "Belgian Franc", "2002-03"],
  ["BGL", "100", 2, "Lev", "2003-11"],
  ["BGN", "975", 2, "Bulgarian Lev", "2026-01"],
  ["BYB", "112", 0, "Belarusian Ruble", "2001-01"],
  ["BYR", "974", 0, "Belarusian Ruble", "2017-01"],
  ["CSD", "891", 2, "Serbian Dinar", "2006-10"],
  ["CUC", "931", 2, "Peso Convertible", "2021-06"],
  ["CYP", "196", 2, "Cyprus Pound", "2008-01"],
  ["DEM", "276", 2, "Deutsche Mark", "2002-03"],
  ["EEK", "233", 2, "Kroon", "2011-01"],
  ["ESP", "724", 0, "Spanish Peseta", "2002-03"],
  ["FIM", "246", 2, "Markka", "2002-03"],
  ["FRF", "250", 2, "French Franc", "2002-03"],
  ["GHC", "288", 2, "Cedi", "2008-01"],
  ["GRD", "300", 0, "Drachma", "2002-03"],
  ["GWP", "624", 2, "Guinea-Bissau Peso", "1997-05"],
  ["HRK", "191", 2, "Croatian Kuna", "2023-01"],
  ["IEP", "372", 2, "Irish Pound", "2002-03"],
  ["ITL", "380", 0, "Italian Lira", "2002-03"],
  ["LTL", "440", 2, "Lithuanian Litas", "2014-12"],
  ["LUF", "442", 0, "Luxembourg Franc", "2002-03"],
  ["LVL", "428", 2, "Latvian Lats", "2014-01"],
  ["MGF", "450", 0, "Malagasy Franc", "2004-12"],
  ["MRO", "478", 2, "Ouguiya", "2017-12"],
  ["MTL", "470", 2, "Maltese Lira", "2008-01"],
  ["MZM", "508", 2, "Mozambique Metical", "2006-06"],
  ["NLG", "528", 2, "Netherlands Guilder", "2002-03"],
  ["PTE", "620", 0, "Portuguese Escudo", "2002-03"],
  ["ROL", "642", 2, "Old Leu", "2005-06"],
  ["RUR", "810", 2, "Russian Ruble", "2004-01"],
  ["SDD", "736", 2, "Sudanese Dinar", "2007-07"],
  ["SIT", "705", 2, "Tolar", "2007-01"],
  ["SKK", "703", 2, "Slovak Koruna", "2009-01"],
  ["SLL", "694", 2, "Leone", "2023-12"],
  ["SRG", "740", 2, "Surinam Guilder", "2003-12"],
  ["STD", "678", 2, "Dobra", "2017-12"],
  ["TMM", "795", 2, "Turkmenistan Manat", "2009-01"],
  ["TPE", "626", 0, "Timor Escudo", "2002-11"],
  ["TRL", "792", 0, "Old Turkish Lira", "2005-12"],
  ["VEB", "862", 2, "Bolivar", "2008-01"],
  ["VEF", "937", 2, "Bolivar Fuerte", "2018-08"],
  ["XEU", "954", 0, "European Currency Unit (E.C.U)", "1999-01"],
  ["YUM", "891", 2, "New Dinar", "2003-07"],
  ["ZMK", "894", 2, "Zambian Kwacha", "2012-12"],
  ["ZWD", "716", 2, "Zimbabwe Dollar (old)", "2006-08"],
  ["ZWL", "932", 2, "Zimbabwe Dollar", "2024-09"],
  ["ZWN", "942", 2, "Zimbabwe Dollar (new)", "2006-09"],
  ["ZWR", "935", 2, "Zimbabwe Dollar", "2009-06"]
]

const table: ReadonlyMap<string, Currency> = new Map(
  [...current, ...historic].map(([code, numeric, minorUnits, name, withdrawn]) => [
    code,
    Object.freeze({
      code: code as CurrencyCode,
      numeric,
      name,
      minorUnits,
      ...(withdrawn === undefined ? {} : { withdrawn })
    })
  ])
)

/** Every currency, current and historic. */
export const all: ReadonlyArray<Currency> = Object.freeze([...table.values()])

/** The currency of an alphabetic code, current or historic; undefined for any other code. */
export const get = (code: string): Currency | undefined => table.get(code)

/** Decimals of an amount. Throws a `RangeError` for a code that did not come from `get`. */
export const minorUnits = (code: CurrencyCode): number => {
  const currency = table.get(code)
  if (currency === undefined) {
    throw new RangeError(`${code} is not a currency of ISO 4217`)
  }
  return currency.minorUnits
}
