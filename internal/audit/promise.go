package audit

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// LookupOutcome is what is known of a CT log's promise.
type LookupOutcome string

// The outcomes. The first two are what a log answered, and missing is final once the tree that was asked for is younger than
// the promise by the merge delay.
const (
	LookupFound      LookupOutcome = "found"       // the log has it, proven
	LookupMissing    LookupOutcome = "missing"     // the tree that was asked for does not have it
	LookupUnknown    LookupOutcome = "unknown"     // the log has not answered yet
	LookupNotAsked   LookupOutcome = "not-asked"   // the configuration has the log not asked
	LookupNoSuchLog  LookupOutcome = "no-such-log" // no trusted root names the log
	LookupUnpromised LookupOutcome = "unpromised"  // no log promised anything: no SCT, or none that its log signed
	LookupUnneeded   LookupOutcome = "unneeded"    // the trusted root of its issuer has no CT log
)

// ShownCertificate is a final certificate of a verified chain that an attestation or a proven entry shows.
type ShownCertificate struct {
	ID            int64
	IssuerKeyHash string // hex
	DER           []byte
}

// Promise is a CT log's promise to include a certificate, as its SCT has it.
type Promise struct {
	// LogID is hex; "" where the certificate carries no promise.
	LogID      string
	PromisedAt time.Time
	LeafHash   string // hex; of the leaf that is promised
	Outcome    LookupOutcome
	Problem    string
}

// ReadPromises are those that a certificate carries: at least one, or why there is none.
type ReadPromises struct {
	CertificateID int64
	Promises      []Promise
}

// DuePromise is a promise to be looked up.
type DuePromise struct {
	ShownCertificate
	Promise
}

// Lookup is what a log answered.
type Lookup struct {
	// Outcome is found, missing, unpromised (the log's key did not sign the promise) or unknown: a promise that was missing
	// stays so when asking again fails.
	Outcome LookupOutcome
	Problem string
	// Inclusion is where the leaf is; of a missing one only the checkpoint, which does not have it.
	Inclusion tlog.Inclusion
	// DueAt is when to ask again, where the answer is not final.
	DueAt time.Time
}

// PromiseStore is the record of what CT logs promised. Each method that writes is one transaction.
type PromiseStore interface {
	// UnreadPromises lists certificates whose promises were not read yet, in the order of their ids.
	UnreadPromises(ctx context.Context, limit int) ([]ShownCertificate, error)
	SavePromises(ctx context.Context, now time.Time, read []ReadPromises) error
	// FoundInProven notes every promise that a log kept by a leaf among those that the record holds as proven. It counts them.
	FoundInProven(ctx context.Context, now time.Time) (int, error)
	// PromisedBy lists the logs of promises that are due at now: those never answered for, and those that were missing in a
	// tree that is not younger than the promise by delay.
	PromisedBy(ctx context.Context, now time.Time, delay time.Duration) ([]string, error)
	// DuePromises lists those of a log, the youngest first.
	DuePromises(ctx context.Context, now time.Time, delay time.Duration, logID string, limit int) ([]DuePromise, error)
	// OpenPromises counts, by outcome, the promises that were not found and were needed.
	OpenPromises(ctx context.Context) (map[LookupOutcome]int, error)
	// TreeHead is the latest checkpoint of a CT log that is consistent with all those seen before; ok is false for none.
	TreeHead(ctx context.Context, logID string) (cp tlog.SignedCheckpoint, ok bool, err error)
	SaveLookup(ctx context.Context, now time.Time, p DuePromise, l Lookup) error
	// LookupFailed notes for every promise of a log that is due at now that it could not be looked up, and why not; they are
	// due again at dueAt. A promise that was missing stays so.
	LookupFailed(ctx context.Context, now time.Time, delay time.Duration, logID string, outcome LookupOutcome, problem string, dueAt time.Time) error
}

// PromisingLog is a CT log of the trusted roots.
type PromisingLog struct {
	ID  string // hex, as SCTs name it
	Key crypto.PublicKey
	// Finder is nil where the configuration has the log not asked; Skipped says why.
	Finder  ctlog.Finder
	Skipped string
}

// readPromises reads the promises that a certificate carries. needed says that its issuer's trusted root has CT logs. What
// cannot be read promises nothing.
func readPromises(c ShownCertificate, needed bool) ReadPromises {
	r := ReadPromises{CertificateID: c.ID}
	if !needed {
		r.Promises = []Promise{{Outcome: LookupUnneeded}}
		return r
	}
	scts, issuer, err := embedded(c)
	if err == nil && len(scts) == 0 {
		err = errors.New("the certificate carries no signed certificate timestamp")
	}
	if err != nil {
		r.Promises = []Promise{{Outcome: LookupUnpromised, Problem: oneLine(err.Error(), 300)}}
		return r
	}
	for _, sct := range scts {
		p := Promise{LogID: hex.EncodeToString(sct.LogID[:]), PromisedAt: sct.Timestamp, Outcome: LookupUnknown}
		if leaf, err := sct.Leaf(c.DER, issuer); err != nil {
			p.Outcome, p.Problem = LookupUnpromised, oneLine(err.Error(), 300)
		} else {
			hash := tlog.LeafHash(leaf)
			p.LeafHash = hex.EncodeToString(hash[:])
		}
		r.Promises = append(r.Promises, p)
	}
	return r
}

// embedded are the promises that a certificate of the record carries, and its issuer's key hash.
func embedded(c ShownCertificate) (scts []ctlog.SCT, issuer [sha256.Size]byte, err error) {
	digest, err := hex.DecodeString(c.IssuerKeyHash)
	if err != nil || len(digest) != sha256.Size {
		return nil, issuer, fmt.Errorf("%q is not the hash of an issuer's key", c.IssuerKeyHash)
	}
	cert, err := x509.ParseCertificate(c.DER)
	if err != nil {
		return nil, issuer, fmt.Errorf("the certificate cannot be parsed: %w", err)
	}
	scts, err = ctlog.EmbeddedSCTs(cert)
	return scts, [sha256.Size]byte(digest), err
}

// rebuild finds the promise among those that the certificate carries, and rebuilds its leaf.
func (p DuePromise) rebuild() (ctlog.SCT, []byte, error) {
	scts, issuer, err := embedded(p.ShownCertificate)
	if err != nil {
		return ctlog.SCT{}, nil, fmt.Errorf("certificate %d of the record: %w", p.ID, err)
	}
	for _, sct := range scts {
		leaf, err := sct.Leaf(p.DER, issuer)
		if hash := tlog.LeafHash(leaf); err == nil && hex.EncodeToString(hash[:]) == p.LeafHash && hex.EncodeToString(sct.LogID[:]) == p.LogID {
			return sct, leaf, nil
		}
	}
	return ctlog.SCT{}, nil, fmt.Errorf("certificate %d of the record carries no promise of log %s for leaf %s", p.ID, p.LogID, p.LeafHash)
}
