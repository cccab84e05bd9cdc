// The providers' own JavaScript SDKs as judges of webhooks.
//
// In: a line of JSON for each case, {id, scheme, secret, method, url, headers, body, now}; body is base64, now in Unix
// seconds. Out: a line for each case and each SDK that knows its scheme, {id, sdk, verdict, error}. A verdict is
// "invalid" too where the SDK throws, and error says what. A "valid" with an error: the signature is good, and the SDK
// threw only afterwards, at a body that it couldn't read.
import { become } from "./world.mjs";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import * as addressed from "./addressed.mjs";
import * as keyed from "./keyed.mjs";
import * as plain from "./plain.mjs";
import { GoodButUnread, WebhookRequest } from "./request.mjs";
import * as standardWebhooks from "./standard_webhooks.mjs";
import * as timestamped from "./timestamped.mjs";

/** Return the name and version of an SDK; those whose name leaves it open are told from the Python SDK. */
function named(sdk) {
  const { version } = JSON.parse(readFileSync(new URL(`node_modules/${sdk}/package.json`, import.meta.url), "utf8"));
  return sdk.startsWith("@") ? `${sdk} ${version}` : `${sdk} (Node) ${version}`;
}

const panels = new Map();
for (const { judges } of [standardWebhooks, timestamped, plain, addressed, keyed]) {
  for (const { sdk, schemes, judge } of judges) {
    for (const scheme of schemes) panels.set(scheme, [...(panels.get(scheme) ?? []), { sdk: named(sdk), judge }]);
  }
}

/** Return the most telling name that an error has: many SDKs name their classes, and not their errors. */
function nameOf(error) {
  return (error?.name === "Error" ? error.constructor.name : error?.name) ?? String(error);
}

/** Return what *judge* says of a request: its verdict, and an error where there was one. */
async function heard(judge, request) {
  try {
    const said = await judge(request);
    if (said instanceof GoodButUnread) return { verdict: "valid", error: said.reason };
    return { verdict: said === true ? "valid" : "invalid", error: null };
  } catch (error) {
    return { verdict: "invalid", error: nameOf(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, scheme, now, ...received } = JSON.parse(line);
  const request = new WebhookRequest(received);
  for (const { sdk, judge } of panels.get(scheme) ?? []) {
    become(now, request.secret?.signing_cert_pem);
    process.stdout.write(`${JSON.stringify({ id, sdk, ...(await heard(judge, request)) })}\n`);
  }
}
