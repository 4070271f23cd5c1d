package rekor

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// V1Keys are the keys of a Rekor v1 log. Its shards usually share one, so that a key does not tell which tree it signs
// for: the origin of a checkpoint does.
type V1Keys struct {
	host string // "": whatever the checkpoints say
	keys map[string]crypto.PublicKey
}

// NewV1Keys returns the keys of a log. host is the one in its origins, "" if that is not known.
func NewV1Keys(host string, keys ...crypto.PublicKey) (*V1Keys, error) {
	if len(keys) == 0 {
		return nil, errors.New("it needs a key")
	}
	k := &V1Keys{host: host, keys: map[string]crypto.PublicKey{}}
	for _, key := range keys {
		// What it takes to verify a checkpoint is asked here, so that a bad key is not first met there.
		if _, err := tlog.NewRekorV1Verifier("host", key); err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, fmt.Errorf("its key cannot be encoded: %w", err)
		}
		sum := sha256.Sum256(der)
		k.keys[hex.EncodeToString(sum[:])] = key
	}
	return k, nil
}

// Checkpoint verifies a checkpoint of any of the log's trees, as it was served. One that is not the log's is a
// [*tlog.BadCheckpointError].
func (k *V1Keys) Checkpoint(raw []byte) (tlog.SignedCheckpoint, error) {
	cp, _, err := k.checkpoint(string(raw))
	return cp, err
}

// checkpoint verifies a signed note and returns it with the id of its tree. A note that is not the log's is a
// [*tlog.BadCheckpointError].
func (k *V1Keys) checkpoint(raw string) (cp tlog.SignedCheckpoint, tree uint64, err error) {
	name := k.host
	if name == "" {
		name = "a Rekor v1 log"
	}
	bad := func(err error) (tlog.SignedCheckpoint, uint64, error) {
		return tlog.SignedCheckpoint{}, 0, &tlog.BadCheckpointError{Origin: name, Raw: []byte(raw), Err: err}
	}
	c, err := tlog.ParseCheckpoint(raw)
	if err != nil {
		return bad(err)
	}
	host, id, ok := c.RekorV1Tree()
	if !ok {
		return bad(fmt.Errorf("its origin %q is not of Rekor v1's form, \"host - treeID\"", clip(c.Origin)))
	}
	if k.host != "" && host != k.host {
		return bad(fmt.Errorf("it is of another log, %q", clip(c.Origin)))
	}
	if tree, err = parseTreeID(id); err != nil {
		return bad(err)
	}
	if err := k.verify(c, host); err != nil {
		return bad(err)
	}
	return tlog.SignedCheckpoint{Origin: c.Origin, Size: c.Size, Root: c.Root, Raw: []byte(raw), Signatures: len(c.Signatures)}, tree, nil
}

// verify looks for the signature of one of the keys. The first that is claimed decides.
func (k *V1Keys) verify(c *tlog.Checkpoint, host string) error {
	var missing error
	for _, key := range k.keys {
		v, err := tlog.NewRekorV1Verifier(host, key)
		if err != nil {
			return err
		}
		if err = c.Verify(v); !errors.Is(err, tlog.ErrNotSigned) {
			return err
		}
		missing = err
	}
	return missing
}

// parseTreeID reads a tree id in decimal. Trillian's ids are positive 64-bit integers with a sign.
func parseTreeID(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 10, 63)
	if err != nil || id == 0 || strconv.FormatUint(id, 10) != s {
		return 0, fmt.Errorf("tree id %q is not a plain positive number", clip(s))
	}
	return id, nil
}
