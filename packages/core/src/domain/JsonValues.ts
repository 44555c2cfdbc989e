/**
 * How many values a JSON text has, and whether an object in it names a member twice, without building the document. A
 * parser spends far more on a value than a scan does, so the scan comes first where strangers send the text.
 */

/** Most values of a request's JSON, on every protocol: an invoice of 1,000 lines has some 6,000. */
export const maxOfRequest = 10_000

const quote = 0x22
const comma = 0x2c
const backslash = 0x5c
const openArray = 0x5b
const closeArray = 0x5d
const openObject = 0x7b
const closeObject = 0x7d

/** The index of the quote that ends the string which begins at `start`; the text's length when nothing ends it. */
const endOfString = (text: string, start: number): number => {
  let end = text.indexOf('"', start + 1)
  while (end !== -1) {
    let escapes = end
    while (text.charCodeAt(escapes - 1) === backslash) escapes--
    // a quote after an odd number of backslashes is part of the string
    if ((end - escapes) % 2 === 0) return end
    end = text.indexOf('"', end + 1)
  }
  return text.length
}

/** The index of the next character that is no white space (RFC 8259, section 2). */
const skipSpace = (text: string, from: number): number => {
  let index = from
  while (text.charCodeAt(index) <= 0x20) index++
  return index
}

/**
 * The values in a text: the whole, every element and every member. Exact for JSON; for another text it means nothing.
 *
 * @param limit the scan ends as soon as there are more
 */
export const count = (text: string, limit = Number.POSITIVE_INFINITY): number => {
  let values = 1
  for (let index = 0; index < text.length && values <= limit; index++) {
    switch (text.charCodeAt(index)) {
      case quote:
        index = endOfString(text, index)
        break
      case comma:
        values++
        break
      case openArray:
        if (text.charCodeAt(skipSpace(text, index + 1)) !== closeArray) values++
        break
      case openObject:
        if (text.charCodeAt(skipSpace(text, index + 1)) !== closeObject) values++
        break
      default:
    }
  }
  return values
}

/** The first member name that an object has twice, in a text that is known to be JSON. */
export const duplicate = (text: string): string | undefined => {
  // the names of each object that is open; undefined for an array
  const open: Array<Set<string> | undefined> = []
  for (let index = 0; index < text.length; index++) {
    const character = text.charCodeAt(index)
    if (character === openObject) open.push(new Set())
    else if (character === openArray) open.push(undefined)
    else if (character === closeObject || character === closeArray) open.pop()
    else if (character === quote) {
      const end = endOfString(text, index)
      if (text[skipSpace(text, end + 1)] === ":") {
        const name: string = JSON.parse(text.slice(index, end + 1))
        const names = open.at(-1)
        if (names?.has(name) === true) return name
        names?.add(name)
      }
      index = end
    }
  }
  return undefined
}
