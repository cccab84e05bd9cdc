// The world as an SDK sees it: a clock that stands still, no environment, no console, no network. Imported first.
import https from "node:https";
import { Readable } from "node:stream";

const RealDate = Date;
let nowMs = 0;
let certificate = null;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, given, asked) => Reflect.construct(target, given.length ? given : [nowMs], asked),
  apply: () => new RealDate(nowMs).toString(),
  get: (target, name) => (name === "now" ? () => nowMs : Reflect.get(target, name)),
});

// SDKs take keys, regions and switches from the environment, and tell of every refusal on the console.
for (const name of Object.keys(process.env)) delete process.env[name];
for (const name of ["debug", "error", "info", "log", "trace", "warn"]) console[name] = () => {};

// An SDK that has found the address of a certificate good gets the case's.
https.get = (_address, callback) => {
  if (certificate === null) throw new Error("the network is off");
  const answer = Readable.from([Buffer.from(certificate)]);
  answer.statusCode = 200;
  callback(answer);
  return { on() {} };
};
globalThis.fetch = async () => {
  throw new Error("the network is off");
};

/** Let it be *nowSeconds* in Unix time, and *pem* be the one certificate to be had. */
export function become(nowSeconds, pem = null) {
  nowMs = Math.round(nowSeconds * 1000);
  certificate = pem;
}
