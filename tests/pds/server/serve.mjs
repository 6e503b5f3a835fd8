// A real Bluesky server and its directory of identities, on loopback only.
//
// Environment: what @atproto/pds reads (PDS_...), PLC_PORT, and PDS_HOUR_SECONDS: the length of the "hour" in
// which the server counts points. Points, answers and headers stay the server's own.

import net from 'node:net'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const { PlcServer, Database } = require('@did-plc/server')
const { PDS, envToCfg, envToSecrets, readEnv } = require('@atproto/pds')

// Both servers would listen on every address.
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ...rest) {
  return typeof port === 'object' ? listen.call(this, port, ...rest) : listen.call(this, port, '127.0.0.1', ...rest)
}

const HOUR = 3_600_000
const hourSeconds = Number(process.env.PDS_HOUR_SECONDS ?? 3600)
const limiter = require('rate-limiter-flexible')
const RateLimiterMemory = limiter.RateLimiterMemory
Object.defineProperty(limiter, 'RateLimiterMemory', {
  value: class extends RateLimiterMemory {
    constructor(options) {
      super(options.duration * 1000 === HOUR ? { ...options, duration: hourSeconds } : options)
    }
  },
})

// An upload that is cut off in the middle is an error that nobody catches (`aborted`) and ends the process. Where
// it is run for real a supervisor starts it again; here it goes on.
process.on('uncaughtException', (error) => console.error('uncaught:', error))

await PlcServer.create({ db: Database.mock(), port: Number(process.env.PLC_PORT) }).start()
const environment = readEnv()
const pds = await PDS.create(envToCfg(environment), envToSecrets(environment))
await pds.start()
