@rem For npm scripts on Windows: elsewhere `exec` is a word of the shell, and gives its process to the program.
@%*
