/** The `prepack` of every package: ends `npm pack` and `npm publish` in its folder. */
console.error(
  "Packages are packed at the root by `npm run pack`: it builds before, and leaves out what only this repository can use. Publish the tarballs."
)
process.exitCode = 1
