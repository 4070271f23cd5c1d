package audit

import (
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// CertificateState says whether it is known what a certificate signed.
type CertificateState string

// The states of a certificate.
const (
	// CertificateAccounted: an entry of a Rekor log, or an attestation, names it.
	CertificateAccounted CertificateState = "entries-known"
	// CertificateSearched: none is known, and the rule's grace period runs.
	CertificateSearched CertificateState = "being-searched"
	// CertificateUnaccounted: none was found.
	CertificateUnaccounted CertificateState = "none-found"
)

// CertificateFacts is what the record holds of a certificate that a CT log shows in a watched project's own name: one whose
// issuer is trusted, and whose signer is the watched repository.
type CertificateFacts struct {
	TBSSHA256, Serial   string
	NotBefore, NotAfter time.Time
	Identity            *identity.Identity
	Project             string
	Class               string // self or signer
	// Log, LeafHash and LoggedAt are its leaf in the CT log that showed it first, FirstSeen when it did.
	Log       LogRef
	LeafHash  string
	LoggedAt  time.Time
	FirstSeen time.Time
	// Entries counts the proven entries of Rekor logs that name it, Attestations those of files, failed ones apart.
	Entries, Attestations int
}

// searchMargin is how long after a certificate expired the logs are looked at for what it signed: clients log at once.
const searchMargin = 10 * time.Minute

// searched says in words what was looked at of a log of entries for what a certificate signed, and whether that is all that
// there can be. A log that ended before the certificate was valid has nothing of it, and is not worth a word: relevant is
// false.
func (l LogFacts) searched(c CertificateFacts) (text string, whole, relevant bool) {
	switch {
	case !strings.HasPrefix(l.Kind, "rekor-"), !l.EndedAt.IsZero() && l.EndedAt.Before(c.NotBefore):
		return "", true, false
	case l.NotFollowed:
		return "not looked at: " + oneLine(l.Why, 200), false, true
	case l.Shard != nil && !l.Known: // what is to be said is said of the whole log
		return "", true, false
	case l.Rekor1 != nil && l.Rekor1.Followed: // what is to be said is said of each shard
		return "", true, false
	case l.Shard != nil && l.Shard.Frozen && l.Shard.EndedAt.Before(c.NotBefore):
		return "", true, false
	case l.windowed(c):
		return "windows of it were read, and proven complete, from when the certificate was issued until it expired", true, true
	case l.Rekor1 != nil:
		return "searched by name: its entries were not read, and the silence of its index means nothing", false, true
	case !l.Known:
		return "not looked at yet", false, true
	case l.reopened():
		return "parts of it were read with another watch list", false, true
	case l.Start > 0 && l.TakenUpAt.After(c.NotBefore):
		return "taken up after the certificate was issued: what lies before was not looked at", false, true
	case l.CheckedAt.Before(c.NotAfter.Add(searchMargin)), l.Proven < l.Latest:
		return "not read yet up to when the certificate expired", false, true
	}
	return "read, and proven complete, from before the certificate was issued until after it expired", true, true
}

// windowed reports whether windows of a Rekor v1 have all of the time in which a certificate was valid, by the times that the
// log signed, and were proven with today's watch list.
func (l LogFacts) windowed(c CertificateFacts) bool {
	if l.Rekor1 == nil {
		return false
	}
	q := WindowRequest{Since: c.NotBefore, Until: c.NotAfter}
	var windows []Window
	for _, w := range l.Rekor1.Windows {
		if !q.overlaps(w.Since, w.Until) || l.WatchList != "" && w.WatchList != l.WatchList {
			continue
		}
		if !w.Finished() || w.Backwards > w.Margin {
			return false
		}
		windows = append(windows, w.Window)
	}
	return len(windows) > 0 && q.covered(windows)
}

// reopened reports whether leaves were proven that were read with another watch list than today's, where that is known.
func (l LogFacts) reopened() bool {
	for _, r := range l.Ranges {
		if l.WatchList != "" && r.WatchList != l.WatchList {
			return true
		}
	}
	return false
}
