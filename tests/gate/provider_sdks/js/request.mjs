// A case as the frameworks hand it to an SDK: headers by lower-case name; the body as bytes, text and form fields.
import { parse } from "node:querystring";

const ANY_NUMBER = 0;

export class WebhookRequest {
  constructor({ secret, method, url, headers, body }) {
    this.secret = secret;
    this.method = method;
    this.url = url;
    this.headers = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
    this.bytes = Buffer.from(body, "base64");
  }

  get text() {
    return this.bytes.toString("utf8");
  }

  get form() {
    return parse(this.text, "&", "=", { maxKeys: ANY_NUMBER });
  }

  get isForm() {
    return (this.headers["content-type"] ?? "").toLowerCase().startsWith("application/x-www-form-urlencoded");
  }

  /** The path and query as they stand in the URL, nothing decoded or normalised. */
  get target() {
    return this.url.replace(/^[a-z]+:\/\/[^/?#]*/i, "") || "/";
  }

  /** The request of the Fetch API, for SDKs that want one. */
  get fetched() {
    return new Request(this.url, { method: "POST", headers: this.headers, body: this.bytes });
  }
}

/** What an SDK says of a request whose signature it has found good, but whose content it doesn't like. */
export class GoodButUnread {
  constructor(reason) {
    this.reason = reason;
  }
}

export const isUnparsed = (error) => error instanceof SyntaxError;

/** Make *call*; an error that *isLate* knows came only after the signature had been found good. */
export async function signed(call, isLate = isUnparsed) {
  try {
    await call();
    return true;
  } catch (error) {
    if (isLate(error)) return new GoodButUnread(error.name);
    throw error;
  }
}
