package tlog

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// SignedCheckpoint is a checkpoint whose log signature was verified, with the evidence as it was served.
type SignedCheckpoint struct {
	Origin string
	Size   uint64
	Root   [sha256.Size]byte
	// Raw is the signed note; of an RFC 6962 log, the answer to get-sth.
	Raw []byte
	// Timestamp is that of an RFC 6962 or static-ct tree head; zero for other logs.
	Timestamp time.Time
	// Cosigners are the names of the witnesses whose cosignature was verified.
	Cosigners []string
	// Signatures counts the signature lines of all kinds.
	Signatures int
}

// BadCheckpointError is a checkpoint that the log's key did not sign, or that names another log.
type BadCheckpointError struct {
	Origin string // of the log that was asked
	Raw    []byte // as it was served
	Err    error
}

func (e *BadCheckpointError) Error() string {
	return fmt.Sprintf("checkpoint of %s: %v", clip(e.Origin), e.Err)
}

func (e *BadCheckpointError) Unwrap() error { return e.Err }

// Source reads one log. Unless it says so, nothing that it returns is verified: its reader does that.
type Source interface {
	// Checkpoint returns the log's latest checkpoint, its signature and its origin verified. One that does not verify
	// is a *BadCheckpointError.
	Checkpoint(ctx context.Context) (SignedCheckpoint, error)
	// ConsistencyProof returns the proof that the tree of size from is a prefix of the one of size to (RFC 6962
	// §2.1.2), for 0 < from < to.
	ConsistencyProof(ctx context.Context, from, to uint64) ([][]byte, error)
	// Frontier returns the node hashes of the compact range [0, size) in a tree of treeSize, from left to right. What
	// is built on them is authenticated by a root in the end.
	Frontier(ctx context.Context, size, treeSize uint64) ([][]byte, error)
	// Page returns leaves from an index on, in order: at least one, and none at or past to.
	Page(ctx context.Context, from, to uint64) (Page, error)
	// PageSize says how to cut ranges into requests: pages begin at its multiples and have at most so many leaves.
	PageSize() uint64
}

// Page is a run of leaves.
type Page struct {
	First uint64
	// Leaves are what the tree commits to: the hash of one is SHA-256(0x00 ‖ leaf). They may share memory, and are valid
	// until Release.
	Leaves [][]byte
	// LeafHashes are the hashes of the leaves, where the source computed them (RFC 6962 §2.1), as long as they are valid; nil
	// where it did not. They are never what somebody else says that they are.
	LeafHashes [][sha256.Size]byte
	// Bytes is the size of the answers on the wire.
	Bytes int64
	// Release gives the memory of the leaves back to the source, for the next page. It may be nil, and need not be called;
	// it is called at most once, by the page's only owner, who keeps copies of what it keeps.
	Release func()
}
