// npm's receiver as a judge: a line of JSON in, {keys, request}; a line out, true or the name of what was thrown.
import { createInterface } from "node:readline";
import { Receiver } from "@upstash/qstash";

for await (const line of createInterface({ input: process.stdin })) {
  const { keys, request } = JSON.parse(line);
  const receiver = new Receiver({ currentSigningKey: keys.current, nextSigningKey: keys.next });
  const verdict = await receiver.verify(request).catch((error) => error.name);
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
}
