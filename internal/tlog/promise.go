package tlog

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
)

// Promise is what Rekor v1 signs of an entry: the signed entry timestamp. It is the only thing that vouches for the
// integrated time; neither inclusion proof nor checkpoint covers it.
type Promise struct {
	// Body is the entry as the tree commits to it.
	Body []byte
	// IntegratedTime is in seconds since 1970.
	IntegratedTime int64
	// LogID is the hex SHA-256 of the log's key.
	LogID string
	// LogIndex is the global one, over all shards.
	LogIndex int64
}

// ErrNotPromised says that the log's key did not sign the promise.
var ErrNotPromised = errors.New("the log's key did not sign this entry with this index and time")

// Verify checks a signed entry timestamp (rekor, openapi.yaml, "signedEntryTimestamp"). The error is [ErrNotPromised], or
// says why the key cannot have signed it.
func (p Promise) Verify(key crypto.PublicKey, set []byte) error {
	k, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("the log's key is a %T: only logs with ECDSA keys make such timestamps", key)
	}
	// RFC 8785 canonical JSON: with members in order, base64, hex and integers there is nothing left to escape or round.
	text := make([]byte, 0, base64.StdEncoding.EncodedLen(len(p.Body))+256)
	text = append(text, `{"body":"`...)
	text = base64.StdEncoding.AppendEncode(text, p.Body)
	text = append(text, `","integratedTime":`...)
	text = strconv.AppendInt(text, p.IntegratedTime, 10)
	text = append(text, `,"logID":"`...)
	text = append(text, p.LogID...)
	text = append(text, `","logIndex":`...)
	text = strconv.AppendInt(text, p.LogIndex, 10)
	text = append(text, '}')
	if digest := sha256.Sum256(text); !ecdsa.VerifyASN1(k, digest[:], set) {
		return ErrNotPromised
	}
	return nil
}
