package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// Webhook posts JSON that is signed as Standard Webhooks says (standardwebhooks.com, "Webhook signature scheme"): webhook-id is
// the same in every attempt, so that a receiver can drop a repeat, and webhook-signature is an HMAC-SHA256 over id,
// timestamp and body. URL and key are secrets.
type Webhook struct {
	name, address string
	key           []byte
	client        *http.Client
	clock         clock.Clock
}

// NewWebhook checks the receiver's URL (https, or http on loopback) and the key: "whsec_" and base64 of 24 to 64 bytes.
func NewWebhook(name, address, key string, client *http.Client, c clock.Clock) (*Webhook, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("alerts.channels.%s.webhook: the receiver is not a URL", name)
	}
	if !secure(u) {
		return nil, fmt.Errorf("alerts.channels.%s.webhook: the receiver's URL has scheme %q: use https", name, u.Scheme)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
	if err != nil || !strings.HasPrefix(key, "whsec_") || len(secret) < 24 || len(secret) > 64 {
		return nil, fmt.Errorf("alerts.channels.%s.webhook: the key is not whsec_ and base64 of 24 to 64 bytes: make one with `echo whsec_$(openssl rand -base64 32)`", name)
	}
	return &Webhook{name: name, address: address, key: secret, client: client, clock: c}, nil
}

// Name implements Channel.
func (w *Webhook) Name() string { return w.name }

// Send implements Channel.
func (w *Webhook) Send(ctx context.Context, p Parcel) (string, error) {
	body, err := p.payload()
	if err != nil {
		return "", &Error{Err: err, NotTaken: true, OnlyThis: true}
	}
	at := strconv.FormatInt(w.clock.Now().Unix(), 10)
	header := http.Header{"Content-Type": {"application/json"}, "Webhook-Id": {p.ID()}, "Webhook-Timestamp": {at}, "Webhook-Signature": {w.sign(p.ID(), at, body)}}
	a, err := exchange(ctx, w.client, http.MethodPost, w.address, header, body)
	switch {
	case err != nil:
		return "", unanswered("the webhook's receiver", err, secretsOf(w.address)...)
	case !a.success():
		return "", refusedBy("the webhook's receiver", a)
	}
	return "", nil
}

// sign makes a signature of version 1.
func (w *Webhook) sign(id, at string, body []byte) string {
	mac := hmac.New(sha256.New, w.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
