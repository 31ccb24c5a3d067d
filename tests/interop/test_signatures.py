"""Deliveries verify with the Standard Webhooks library that subscribers use."""

from __future__ import annotations

import base64
import os

import pytest
from broker import eventually
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

PLAIN = {"content-type": "application/json"}


def secret_of(shown: dict) -> str:
    """The one secret that an answer shows in full."""
    (secret,) = [entry["secret"] for entry in shown["secrets"] if entry.get("secret")]
    assert secret.startswith("whsec_")
    return secret


def deliver_one(broker, topic, hook):
    before = len(hook.accepted())
    broker.publish(topic, b'{"total": 120}', PLAIN)
    return hook.wait(before + 1)[-1]


@pytest.mark.parametrize("mode", ["structured", "binary", "batch", "raw"])
def test_a_delivery_verifies_in_every_mode(broker, hook, mode):
    topic = broker.topic()
    webhook = Webhook(secret_of(broker.subscribe(topic, hook.url, mode)))
    delivery = deliver_one(broker, topic, hook)
    assert webhook.verify(delivery.body, delivery.headers)


def test_text_that_is_not_json_verifies(broker, hook):
    topic = broker.topic()
    webhook = Webhook(secret_of(broker.subscribe(topic, hook.url, "raw")))
    attributes = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/interop", "ce-type": "note"}
    text = "Grüße, 世界".encode()
    broker.publish(topic, text, attributes | {"content-type": "text/plain; charset=utf-8"})
    (delivery,) = hook.wait(1)
    assert delivery.body == text
    webhook.verify(delivery.body, delivery.headers, json_parse=False)


def test_what_was_tampered_with_does_not_verify(broker, hook):
    topic = broker.topic()
    webhook = Webhook(secret_of(broker.subscribe(topic, hook.url)))
    delivery = deliver_one(broker, topic, hook)
    webhook.verify(delivery.body, delivery.headers)

    tampered = delivery.body.replace(b"120", b"121")
    assert tampered != delivery.body
    another = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    later = str(int(delivery.headers["webhook-timestamp"]) + 1)
    for verify in (
        lambda: webhook.verify(tampered, delivery.headers),
        lambda: webhook.verify(delivery.body, delivery.headers | {"webhook-id": "another"}),
        lambda: webhook.verify(delivery.body, delivery.headers | {"webhook-timestamp": later}),
        lambda: Webhook(another).verify(delivery.body, delivery.headers),
    ):
        with pytest.raises(WebhookVerificationError, match="No matching signature"):
            verify()


def test_the_secret_is_shown_once(broker, hook):
    made = broker.subscribe(broker.topic(), hook.url)
    secret = secret_of(made)
    shown = broker.call("GET", f"/v1/subscriptions/{made['id']}", 200)
    assert [entry["id"] for entry in shown.json()["secrets"]] == [made["secrets"][0]["id"]]
    assert secret not in shown.text


def test_both_secrets_sign_during_the_grace(broker, hook):
    topic = broker.topic()
    made = broker.subscribe(topic, hook.url)
    old = secret_of(made)
    rotated = broker.call(
        "POST", f"/v1/subscriptions/{made['id']}/secrets/rotate", 200, json={"graceSeconds": 3600}
    ).json()
    new = secret_of(rotated)
    assert new != old
    (expiring,) = [entry for entry in rotated["secrets"] if entry.get("expiresAt")]
    assert expiring["id"] == made["secrets"][0]["id"]

    delivery = deliver_one(broker, topic, hook)
    assert len(delivery.headers["webhook-signature"].split(" ")) == 2
    assert Webhook(old).verify(delivery.body, delivery.headers)
    assert Webhook(new).verify(delivery.body, delivery.headers)


def test_only_the_new_secret_signs_after_the_grace(broker, hook):
    topic = broker.topic()
    made = broker.subscribe(topic, hook.url)
    old = secret_of(made)
    new = secret_of(
        broker.call("POST", f"/v1/subscriptions/{made['id']}/secrets/rotate", 200, json={"graceSeconds": 1}).json()
    )

    def signed_once():
        delivery = deliver_one(broker, topic, hook)
        return delivery if len(delivery.headers["webhook-signature"].split(" ")) == 1 else None

    delivery = eventually(signed_once, what="a delivery with one signature")
    assert Webhook(new).verify(delivery.body, delivery.headers)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(old).verify(delivery.body, delivery.headers)
