package rekor

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rekoncile/rekoncile/internal/strictjson"
)

// Limits on an entry. A body of Rekor v2 has at most 65,535 bytes because its tiles say so; one of Rekor v1 may hold
// whole TUF metadata.
const (
	maxBodyBytes  = 4 << 20
	maxSignatures = 1024
)

// Decode reads an entry's body: the canonical JSON, byte for byte as the tree commits to it. It knows the twelve kinds
// and versions of Rekor v1 (rekor, pkg/types) and the two of Rekor v2 (rekor-tiles, api/proto). Base64 is read in every
// alphabet and padding that a lenient parser takes; JSON strictly, so that no name stands there twice.
//
// A kind or version that it does not know is an [*UnknownKindError], with the kind and the version in the Entry as well.
// A member that it does not know is no error: see [Entry.UnknownMember]. It neither parses certificates nor verifies
// anything. The Entry does not share memory with body.
func Decode(body []byte) (Entry, error) {
	if err := strictjson.Check(body, maxBodyBytes); err != nil {
		return Entry{}, fmt.Errorf("log entry %w", err)
	}
	var head struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Spec       jsontext.Value `json:"spec"`
	}
	var e Entry
	if err := e.unmarshal(body, &head); err != nil {
		return Entry{}, fmt.Errorf("log entry: %w", err)
	}
	e.Kind, e.APIVersion = head.Kind, head.APIVersion
	spec := e.specOf()
	if spec == nil {
		return e, &UnknownKindError{Kind: e.Kind, APIVersion: e.APIVersion}
	}
	if len(head.Spec) == 0 {
		return e, fmt.Errorf("log entry of kind %s %s has no spec", e.Kind, e.APIVersion)
	}
	err := e.unmarshal(head.Spec, spec)
	if err == nil {
		err = spec.fill(&e)
	}
	if err != nil {
		return e, fmt.Errorf("log entry of kind %s %s: %w", e.Kind, e.APIVersion, err)
	}
	return e, nil
}

// spec is the spec of one kind and version of entry.
type spec interface {
	// fill takes over what the spec says.
	fill(*Entry) error
}

// specOf returns an empty spec for the entry's kind and version; nil for one that is not known.
func (e *Entry) specOf() spec {
	switch e.Kind + " " + e.APIVersion {
	case "hashedrekord 0.0.1":
		return new(hashedRekordV1)
	case "dsse 0.0.1":
		return new(dsseV1)
	case "intoto 0.0.1":
		return new(intotoV1)
	case "intoto 0.0.2":
		return new(intotoV2)
	case "rekord 0.0.1":
		return new(rekordV1)
	case "cose 0.0.1":
		return new(coseV1)
	case "alpine 0.0.1":
		return new(packageV1)
	case "rpm 0.0.1":
		return new(packageV1)
	case "helm 0.0.1":
		return new(helmV1)
	case "jar 0.0.1":
		return new(jarV1)
	case "tuf 0.0.1":
		return new(tufV1)
	case "rfc3161 0.0.1":
		return new(rfc3161V1)
	case "hashedrekord 0.0.2":
		return new(hashedRekordTiled)
	case "dsse 0.0.2":
		return new(dsseTiled)
	}
	return nil
}

// unmarshal decodes into v, and notes the first member that v has no place for.
func (e *Entry) unmarshal(raw []byte, v any) error {
	err := json.Unmarshal(raw, v, json.RejectUnknownMembers(true))
	if !errors.Is(err, json.ErrUnknownName) {
		return err
	}
	var where *json.SemanticError
	if errors.As(err, &where) && e.UnknownMember == "" {
		e.UnknownMember = clip(string(where.JSONPointer))
	}
	return json.Unmarshal(raw, v)
}

// octets are bytes in base64, in either alphabet, with or without padding: Protobuf's JSON takes them all, and what one
// parser takes must not be hidden from another.
type octets []byte

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (o *octets) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() == 'n' {
		*o = nil
		return nil
	}
	if token.Kind() != '"' {
		return errors.New("bytes are not a string of base64")
	}
	text := bytes.TrimRight([]byte(token.String()), "=")
	for i, c := range text {
		switch c {
		case '-':
			text[i] = '+'
		case '_':
			text[i] = '/'
		}
	}
	n, err := base64.RawStdEncoding.Decode(text, text)
	if err != nil {
		return errors.New("a string is not base64")
	}
	*o = text[:n]
	return nil
}
