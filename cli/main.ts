#!/usr/bin/env node
import '../node/compat.js'
import { main } from './program.js'

/** Milliseconds for what is still open to close by itself. */
const LINGER_MS = 2_000

process.exitCode = await main(process.argv.slice(2))
setTimeout(() => process.exit(), LINGER_MS).unref()
