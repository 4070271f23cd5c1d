package audit

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// startMargin is how much before a moment a log is taken up: a certificate of Fulcio's is ten minutes older than what it
// signs at most, and a CT log's timestamps are promises, kept within minutes.
const startMargin = time.Hour

// StartAt takes a log up at a moment, as its leaves tell the time: for [LogTarget.Start]. Their times are claims, so what
// was made shortly before the moment is read too, and what is covered is said in indexes.
func StartAt(source tlog.Source, moment time.Time, timeOf func(leaf []byte) (time.Time, bool)) func(context.Context, uint64) (uint64, error) {
	return func(ctx context.Context, size uint64) (uint64, error) {
		return tlog.IndexAt(ctx, source, size, moment.Add(-startMargin), timeOf)
	}
}

// EntryTime is when a Rekor v2 entry was made at the earliest: when its certificate begins. The entry itself has no time.
func EntryTime(leaf []byte) (time.Time, bool) {
	e, err := rekor.Decode(leaf)
	if err != nil || len(e.Certificates) == 0 {
		return time.Time{}, false
	}
	cert, err := x509.ParseCertificate(e.Certificates[0])
	if err != nil {
		return time.Time{}, false
	}
	return cert.NotBefore, true
}

// CertificateTime is the time that a leaf of a CT log has.
func CertificateTime(leaf []byte) (time.Time, bool) {
	l, err := ctlog.ParseLeaf(leaf)
	return l.Timestamp, err == nil
}
