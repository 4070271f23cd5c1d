package rekor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/segmentio/asm/base64"
)

// maxProofHashes is as many hashes as a proof in any tree can have.
const maxProofHashes = 64

// v1Wire is an entry as the API serves it (rekor, openapi.yaml, "LogEntry"), before anything of it is believed.
type v1Wire struct {
	Body           []byte `json:"body"` // canonical JSON, in base64
	IntegratedTime int64  `json:"integratedTime"`
	LogID          string `json:"logID"`
	LogIndex       uint64 `json:"logIndex"` // global
	Verification   struct {
		InclusionProof *v1WireProof `json:"inclusionProof"`
		SET            []byte       `json:"signedEntryTimestamp"`
	} `json:"verification"`
}

type v1WireProof struct {
	Checkpoint string   `json:"checkpoint"`
	Hashes     v1Hashes `json:"hashes"`
	LogIndex   uint64   `json:"logIndex"` // in the tree
	RootHash   string   `json:"rootHash"`
	TreeSize   uint64   `json:"treeSize"`
}

// v1Leaf is as much of an entry as a tree commits to, and its place. A page of leaves is proven as a whole, by the root
// that they lead to: the proofs that come with each of them are not read.
type v1Leaf struct {
	Body     v1Body `json:"body"`
	LogID    string `json:"logID"`
	LogIndex uint64 `json:"logIndex"`
}

// v1Body is base64, decoded with vector instructions: of a page, nothing else is as long.
type v1Body []byte

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (b *v1Body) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	value, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if value.Kind() != '"' {
		return errors.New("a body is not a string")
	}
	text := value[1 : len(value)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		if text, err = jsontext.AppendUnquote(nil, value); err != nil {
			return err
		}
	}
	body := make([]byte, base64.StdEncoding.DecodedLen(len(text))+slack)
	n, err := base64.StdEncoding.Decode(body, text)
	if err != nil {
		return errors.New("a body is not base64")
	}
	*b = body[:n:n]
	return nil
}

// v1Hashes are the hashes of a proof, which the API writes in hexadecimal.
type v1Hashes [][]byte

// UnmarshalJSONFrom implements [json.UnmarshalerFrom]. It stops at what no proof can have, before anything grows.
func (h *v1Hashes) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*h = nil
	if dec.PeekKind() == 'n' { // what Go's encoder makes of none
		_, err := dec.ReadToken()
		return err
	}
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '[' {
		return errors.Join(err, errors.New("a proof is not a list of hashes"))
	}
	for dec.PeekKind() != ']' {
		t, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if len(*h) == maxProofHashes {
			return fmt.Errorf("a proof has more than %d hashes", maxProofHashes)
		}
		hash, err := hex.DecodeString(t.String())
		if err != nil || len(hash) != sha256.Size || t.Kind() != '"' {
			return fmt.Errorf("hash %d of a proof is not %d bytes in hexadecimal", len(*h), sha256.Size)
		}
		*h = append(*h, hash)
	}
	_, err := dec.ReadToken()
	return err
}

// v1Keyed is an entry under its UUID, in one of the forms above.
type v1Keyed[T any] struct {
	id    V1ID
	entry T
}

// parseV1Entry reads an answer that is one entry.
func parseV1Entry(raw []byte) (v1Keyed[v1Wire], error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	keyed, err := readV1Keyed[v1Wire](dec)
	if err != nil {
		return keyed, fmt.Errorf("its answer: %w", err)
	}
	return keyed, atEnd(dec)
}

// parseV1Entries reads an answer that is a list of entries, of which there may be so many at most.
func parseV1Entries[T any](raw []byte, atMost int) ([]v1Keyed[T], error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '[' {
		return nil, errors.New("its answer is not a list of entries")
	}
	all := make([]v1Keyed[T], 0, min(atMost, v1PageSize))
	for dec.PeekKind() != ']' {
		if len(all) == atMost {
			return nil, fmt.Errorf("its answer has more than the %d entries asked for", atMost)
		}
		keyed, err := readV1Keyed[T](dec)
		if err != nil {
			return nil, fmt.Errorf("entry %d of its answer: %w", len(all), err)
		}
		all = append(all, keyed)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	return all, atEnd(dec)
}

// readV1Keyed reads an object whose only member is an entry under its UUID.
func readV1Keyed[T any](dec *jsontext.Decoder) (keyed v1Keyed[T], err error) {
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '{' {
		return keyed, errors.New("an entry is not an object")
	}
	name, err := dec.ReadToken()
	if err != nil {
		return keyed, err
	}
	if name.Kind() != '"' {
		return keyed, errors.New("an entry's object is empty")
	}
	if keyed.id, err = ParseV1ID(name.String()); err != nil {
		return keyed, err
	}
	if err := json.UnmarshalDecode(dec, &keyed.entry); err != nil {
		return keyed, err
	}
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '}' {
		return keyed, errors.Join(err, errors.New("an entry's object has more than one member"))
	}
	return keyed, nil
}

func atEnd(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON of its answer")
	}
	return nil
}
