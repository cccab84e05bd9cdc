// HMACs that cover the URL, or fields of the body and not the body.
import adyen from "@adyen/api-library";
import { verifyRequest } from "@contentful/node-apps-toolkit";
import { EventCallbackHelper, EventCallbackRequest } from "@dropbox/sign";
import { Signature } from "@hubspot/api-client";
import braintree from "braintree";
import plivo from "plivo";
import { WebhooksHelper } from "square";
import twilio from "twilio";
import { signed } from "./request.mjs";

const adyenHmac = new adyen.hmacValidator();

const hubspot = (signatureVersion, header) => ({
  sdk: "@hubspot/api-client",
  schemes: [`hubspot-${signatureVersion}`],
  judge: ({ secret, method, url, text, headers }) => {
    const sentAt = headers["x-hubspot-request-timestamp"];
    return Signature.isValid({
      method,
      signatureVersion,
      url,
      clientSecret: secret,
      requestBody: text,
      signature: headers[header],
      timestamp: sentAt === undefined ? undefined : Number(sentAt),
    });
  },
});

export const judges = [
  {
    sdk: "twilio",
    schemes: ["twilio"],
    judge: ({ secret, method, url, text, form, isForm, headers }) => {
      const signature = headers["x-twilio-signature"];
      return isForm || method === "GET"
        ? twilio.validateRequest(secret, signature, url, isForm ? form : {})
        : twilio.validateRequestWithBody(secret, signature, url, text);
    },
  },
  {
    sdk: "square",
    schemes: ["square"],
    judge: ({ secret, url, text, headers }) =>
      WebhooksHelper.verifySignature({
        requestBody: text,
        signatureHeader: headers["x-square-hmacsha256-signature"],
        signatureKey: secret,
        notificationUrl: url,
      }),
  },
  {
    sdk: "plivo",
    schemes: ["plivo-v2"],
    judge: ({ secret, url, headers }) =>
      plivo.validateSignature(url, headers["x-plivo-signature-v2-nonce"], headers["x-plivo-signature-v2"], secret),
  },
  {
    sdk: "plivo",
    schemes: ["plivo-v3"],
    judge: ({ secret, method, url, form, headers }) =>
      plivo.validateV3Signature(
        method,
        url,
        headers["x-plivo-signature-v3-nonce"],
        secret,
        headers["x-plivo-signature-v3"],
        { ...form },
      ),
  },
  hubspot("v1", "x-hubspot-signature"),
  hubspot("v2", "x-hubspot-signature"),
  hubspot("v3", "x-hubspot-signature-v3"),
  {
    sdk: "@contentful/node-apps-toolkit",
    schemes: ["contentful"],
    judge: ({ secret, method, target, text, headers }) =>
      verifyRequest(secret, { method, path: target, headers, body: text }),
  },
  {
    sdk: "@adyen/api-library",
    schemes: ["adyen"],
    // It knows single items; a notification is as good as the worst of its items.
    judge: ({ secret, text }) => {
      const items = JSON.parse(text).notificationItems;
      return (
        items.length > 0 && items.every(({ NotificationRequestItem: item }) => adyenHmac.validateHMAC(item, secret))
      );
    },
  },
  {
    sdk: "@dropbox/sign",
    schemes: ["dropbox-sign"],
    judge: async ({ secret, fetched }) => {
      const event = JSON.parse((await fetched.formData()).get("json"));
      return EventCallbackHelper.isValid(secret, EventCallbackRequest.init(event));
    },
  },
  {
    sdk: "braintree",
    schemes: ["braintree"],
    judge: ({ secret, method, url, form }) => {
      const { webhookNotification } = new braintree.BraintreeGateway({
        environment: braintree.Environment.Sandbox,
        merchantId: secret.merchant_id,
        publicKey: secret.public_key,
        privateKey: secret.private_key,
      });
      return signed(
        () =>
          method === "GET"
            ? webhookNotification.verify(new URL(url).searchParams.get("bt_challenge"))
            : webhookNotification.parse(form.bt_signature, form.bt_payload),
        (error) => ["Error", "unexpectedError"].includes(error.name), // it is no XML, or no notification
      );
    },
  },
];
