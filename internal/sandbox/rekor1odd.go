package sandbox

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// AddUnknownKind appends an entry of a kind that nobody knows yet, with a text in it. The index does not have it.
func (r *Rekor) AddUnknownKind(text string, at time.Time) (Entry, error) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "0.0.9", "kind": "futurerekord", "spec": map[string]any{"subject": text},
	}, json.Deterministic(true))
	if err != nil {
		return Entry{}, fmt.Errorf("encoding an entry of an unknown kind: %w", err)
	}
	return r.Add(body, at)
}

// AddMalformedCertificate appends a hashedrekord whose certificate is none: DER that breaks off after a text. The index does
// not have it, since Rekor cannot read its subjects either.
func (r *Rekor) AddMalformedCertificate(text string, at time.Time) (Entry, error) {
	digest := sha256.Sum256([]byte(text))
	signature, err := signSHA256(r.noiseKey, []byte(text))
	if err != nil {
		return Entry{}, fmt.Errorf("signing an entry: %w", err)
	}
	body, err := hashedRekordBody(digest, signature, certificatePEM(malformedCertificate(text)))
	if err != nil {
		return Entry{}, err
	}
	return r.Add(body, at)
}
