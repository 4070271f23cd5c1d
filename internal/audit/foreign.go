package audit

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
)

// ClassForeign is the class of a hit that concerns no watched name: somebody else signed a file of the project's, or a statement
// about one.
const ClassForeign = "foreign"

// Foreign inspects the body of an entry that signs a file of the project's, whoever made it. One that cannot be decoded does not
// say that it does.
func (i *LeafInspector) Foreign(_ uint64, leaf []byte) (LogHit, bool) {
	e, err := rekor.Decode(leaf)
	if err != nil {
		return LogHit{}, false
	}
	h := LogHit{Kind: HitEntry, Class: ClassForeign, Leaf: leaf, EntryKind: e.Kind, APIVersion: e.APIVersion}
	h.Hashes = append(append(h.Hashes, e.ArtifactHashes...), e.PayloadHashes...)
	for _, der := range e.Certificates {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			h.Problem = fmt.Sprintf("a signer's certificate cannot be parsed: %v", err)
			continue
		}
		sum := sha256.Sum256(cert.Raw)
		c := HitCert{Serial: cert.SerialNumber.Text(16), NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(), DER: cert.Raw, SHA256: hex.EncodeToString(sum[:])}
		if c.TBSSHA256, err = attest.TBSHash(cert); err != nil {
			h.Problem = err.Error()
			continue
		}
		if id, err := identity.FromCertificate(cert); err != nil {
			c.Problem = "its identity cannot be read: " + err.Error()
		} else {
			c.Identity = &id
		}
		if issuer, err := i.Roots.Issuer(cert); err != nil {
			c.Problem = "it chains to no trusted authority: " + err.Error()
		} else {
			c.Chained, c.IssuerKeyHash = true, issuer
		}
		h.Certificates = append(h.Certificates, c)
	}
	for _, key := range e.Keys {
		sum := sha256.Sum256(key)
		h.Keys = append(h.Keys, hex.EncodeToString(sum[:]))
	}
	return h, true
}

// ForeignFacts is a proven entry that signs a file of the project's, or a statement about one, and that nobody of the project's
// signed.
type ForeignFacts struct {
	EntryRef
	// Identity is the signer's; nil where it cannot be read, or where a key signed without a certificate. Chained says that it is
	// vouched for, and Key that there is no certificate.
	Identity     *identity.Identity
	Chained, Key bool
	// LoggedAt is when the log took it, or when it was first seen there, at the latest; zero where neither is known.
	LoggedAt time.Time
	// File is what it is about, or one of the files; UploadedAt is zero where the index does not tell.
	File       AttestedFile
	UploadedAt time.Time
}

// early reports whether the file was signed before it was published.
func (f ForeignFacts) early() bool {
	return !f.LoggedAt.IsZero() && !f.UploadedAt.IsZero() && f.LoggedAt.Before(f.UploadedAt)
}

// signer names who signed. Certificates that chain to nothing, and keys, are anybody's, and all of them one.
func (f ForeignFacts) signer() string {
	switch {
	case f.Key:
		return "keys without a certificate"
	case !f.Chained || f.Identity == nil:
		return "certificates that chain to nothing"
	}
	return f.Identity.SAN + " by " + f.Identity.Issuer
}

// Strangers gathers who else signed the projects' files: a finding a signer and project, however many files they are.
type Strangers struct {
	groups map[[2]string]*strangerGroup
}

// strangerGroup is what one signer signed of one project's.
type strangerGroup struct {
	first        ForeignFacts
	since        time.Time
	count, early int
	shown        []Evidence
}

// Add takes an entry in; the order matters for which are shown.
func (s *Strangers) Add(f ForeignFacts, policies map[string]identity.Policy) {
	if s.groups == nil {
		s.groups = map[[2]string]*strangerGroup{}
	}
	key := [2]string{publisherOf(f.File, policies), f.signer()}
	g := s.groups[key]
	if g == nil {
		g = &strangerGroup{first: f, since: f.FirstSeen}
		s.groups[key] = g
	}
	g.count++
	if f.FirstSeen.Before(g.since) {
		g.since = f.FirstSeen
	}
	detail := fmt.Sprintf("index %d: %s", f.Index, oneLine(f.File.File, 200))
	if f.early() {
		g.early++
		detail += ", before it was published"
	}
	if len(g.shown) < shownEntries {
		g.shown = append(g.shown, Evidence{Kind: "log-entry", URL: f.Origin, At: f.FirstSeen, SHA256: f.LeafHash, Detail: detail})
	}
}

// Strangers judges who else signed the projects' files. Anybody may sign what is published, and that is told and no more; to sign it
// before is given to those who had it before.
func (j *Judge) Strangers(s *Strangers) Assessment {
	var a Assessment
	for _, key := range slices.SortedFunc(maps.Keys(s.groups), func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }) {
		g := s.groups[key]
		what := oneLine(g.first.File.File, 200) + " of the project's"
		if g.count > 1 {
			what = "files of the project's, such as " + oneLine(g.first.File.File, 200)
		}
		f := Finding{Log: &g.first.LogRef, Evidence: g.shown, Expected: "signatures of the project's files by the project alone",
			Summary: fmt.Sprintf("%s signed %s, in %s", oneLine(key[1], 300), what, entries(g.count))}
		if g.first.Chained && !g.first.Key {
			f.Identity = identityRef(g.first.Identity)
			if g.early > 0 {
				f.Severity = j.Rules[ForeignSignature].Severity.higher()
				f.Summary += fmt.Sprintf(", %d of them before it was published", g.early)
			}
		}
		a.wrong(j, ForeignSignature, Subject{Project: key[0], Job: "signatures by " + key[1]}, g.since, f)
	}
	return a
}

// publisherOf is the project that ships a file; "" where none does any more.
func publisherOf(f AttestedFile, policies map[string]identity.Policy) string {
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		if slices.ContainsFunc(policies[name].Grades, func(g identity.Grade) bool { return slices.Contains(g.Publishes, f.PyPIProject) }) {
			return name
		}
	}
	return ""
}

// stranger reports whether a signer has nothing to do with a project but that it may resemble its name: what else it is, is a
// finding of its own.
func stranger(f SignerFacts, policies map[string]identity.Policy) bool {
	if f.Identity == nil || !f.Chained {
		return true
	}
	for _, policy := range policies {
		switch policy.Judge(*f.Identity).Class {
		case identity.ClassOther, identity.ClassThirdPartyCI:
		default:
			return false
		}
	}
	return true
}

// higher is the next more urgent severity; that of the most urgent one is itself.
func (s Severity) higher() Severity {
	return Severities()[max(s.Rank()-1, 0)]
}
