// Package tlog holds what all transparency logs share: the checkpoint, in which a log states its origin, its size and its
// root hash (C2SP tlog-checkpoint, C2SP signed-note); the compact range, in which leaves are counted; and the [Follower],
// which reads a log and proves that it saw every leaf.
//
// It promises that a parsed checkpoint is well formed and bounded, that [Checkpoint.Verify] succeeds only if the named key
// signed exactly that text, and what [Follower] says of itself. It does not decide whether a log is trusted.
package tlog

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

const (
	// maxCheckpointBytes is far above what is seen (a post-quantum cosignature is about 5 kB), and small enough to
	// hold many in memory.
	maxCheckpointBytes = 64 << 10
	// maxSignatureLines bounds the cosigners of one checkpoint; a handful is usual.
	maxSignatureLines = 64
	// maxExtensionLines bounds the lines that may follow the root hash. Rekor v1 once wrote one, a timestamp.
	maxExtensionLines = 16
)

// Checkpoint is a parsed, unverified checkpoint.
type Checkpoint struct {
	// Origin is the first line: the log's unique name. In Rekor v1 it is "host - treeID".
	Origin string
	// Size is the number of leaves of the tree.
	Size uint64
	// Root is the RFC 6962 root hash of the tree.
	Root [sha256.Size]byte
	// Extensions are the lines after the root hash, without their meaning.
	Extensions []string
	// Text is what the signatures cover: all lines up to and including the newline before the blank line.
	Text string
	// Signatures are all signature lines in their order, of whatever key.
	Signatures []Signature
}

// Signature is one signature line of a checkpoint.
type Signature struct {
	// Name is the key's name, as written by the signer.
	Name string
	// KeyHash is the key's 4-byte hint.
	KeyHash uint32
	// Blob is the signature proper, without the hint.
	Blob []byte
}

// ErrNotSigned says that no signature line names the key that was looked for.
var ErrNotSigned = errors.New("no signature by this key")

// ErrBadSignature says that a signature line names the key, and that the key did not make it.
var ErrBadSignature = errors.New("signature does not verify")

// ParseCheckpoint parses the text form of a checkpoint: origin, decimal tree size, base64 root hash, optional further
// lines, a blank line, and at least one signature line. It verifies no signature.
func ParseCheckpoint(raw string) (*Checkpoint, error) {
	if len(raw) > maxCheckpointBytes {
		return nil, fmt.Errorf("checkpoint has %d bytes, more than the %d allowed", len(raw), maxCheckpointBytes)
	}
	if !utf8.ValidString(raw) || strings.ContainsFunc(raw, func(r rune) bool { return r < 0x20 && r != '\n' }) {
		return nil, errors.New("checkpoint holds control characters or is not UTF-8")
	}
	// The signatures follow the last blank line (C2SP signed-note, "Format").
	end := strings.LastIndex(raw, "\n\n")
	if end < 0 {
		return nil, errors.New("checkpoint has no blank line before its signatures")
	}
	c := &Checkpoint{Text: raw[:end+1]}
	if err := c.parseText(); err != nil {
		return nil, err
	}
	if err := c.parseSignatures(raw[end+2:]); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Checkpoint) parseText() error {
	lines := strings.Split(strings.TrimSuffix(c.Text, "\n"), "\n")
	if len(lines) < 3 {
		return fmt.Errorf("checkpoint has %d lines, wants origin, size and root hash", len(lines))
	}
	if len(lines) > 3+maxExtensionLines {
		return fmt.Errorf("checkpoint has %d extension lines, more than the %d allowed", len(lines)-3, maxExtensionLines)
	}
	c.Origin = lines[0]
	if c.Origin == "" {
		return errors.New("checkpoint has an empty origin")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return fmt.Errorf("checkpoint's tree size %q is not a plain decimal number", clip(lines[1]))
	}
	c.Size = size
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != sha256.Size {
		return fmt.Errorf("checkpoint's root hash %q is not the base64 of %d bytes", clip(lines[2]), sha256.Size)
	}
	copy(c.Root[:], root)
	c.Extensions = lines[3:]
	return nil
}

func (c *Checkpoint) parseSignatures(block string) error {
	if !strings.HasSuffix(block, "\n") {
		return errors.New("checkpoint's signature lines do not end in a newline")
	}
	lines := strings.Split(strings.TrimSuffix(block, "\n"), "\n")
	if len(lines) > maxSignatureLines {
		return fmt.Errorf("checkpoint has %d signature lines, more than the %d allowed", len(lines), maxSignatureLines)
	}
	for i, line := range lines {
		rest, ok := strings.CutPrefix(line, "— ")
		if !ok {
			return fmt.Errorf("checkpoint's signature line %d does not start with an em dash", i+1)
		}
		name, encoded, ok := strings.Cut(rest, " ")
		if !ok || name == "" || strings.Contains(name, "+") {
			return fmt.Errorf("checkpoint's signature line %d has no valid key name", i+1)
		}
		blob, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || len(blob) < 5 {
			return fmt.Errorf("checkpoint's signature line %d is not the base64 of a key hint and a signature", i+1)
		}
		c.Signatures = append(c.Signatures, Signature{
			Name: name, KeyHash: binary.BigEndian.Uint32(blob), Blob: blob[4:],
		})
	}
	return nil
}

// Verify checks the checkpoint's signature by one key. Lines of other names or hints are ignored: cosigners come and
// go, and a signer's place among the lines means nothing. It returns [ErrNotSigned] or [ErrBadSignature], wrapped.
func (c *Checkpoint) Verify(v note.Verifier) error {
	for _, s := range c.Signatures {
		if s.Name != v.Name() || s.KeyHash != v.KeyHash() {
			continue
		}
		// The first line that claims the key decides. To try the next one would let a signer hide a bad line.
		if !v.Verify([]byte(c.Text), s.Blob) {
			return fmt.Errorf("checkpoint of %q, key %s+%08x: %w", clip(c.Origin), v.Name(), v.KeyHash(), ErrBadSignature)
		}
		return nil
	}
	return fmt.Errorf("checkpoint of %q, key %s+%08x: %w", clip(c.Origin), v.Name(), v.KeyHash(), ErrNotSigned)
}

// RekorV1Tree splits the origin of a Rekor v1 checkpoint, "host - treeID", into its host and its decimal tree id. It is
// false for every other origin.
func (c *Checkpoint) RekorV1Tree() (host, treeID string, ok bool) {
	i := strings.LastIndex(c.Origin, " - ")
	if i <= 0 {
		return "", "", false
	}
	host, treeID = c.Origin[:i], c.Origin[i+3:]
	if n, err := strconv.ParseUint(treeID, 10, 64); err != nil || strconv.FormatUint(n, 10) != treeID {
		return "", "", false
	}
	return host, treeID, true
}

// clip keeps hostile text short enough for an error message.
func clip(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
