package audit

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// LeafInspector takes the closer look at leaves that a scan picked: it decodes them, classifies whom they name, and
// verifies the chain of the very certificate that matched. It is safe for concurrent use.
type LeafInspector struct {
	Watch *identity.WatchList
	Roots *trust.Set
}

// Entry inspects the body of a Rekor entry. It is kept if a signer has to do with a watched name, or if it mentions one
// and cannot be decoded.
func (i *LeafInspector) Entry(_ uint64, leaf []byte) (LogHit, bool) {
	e, err := rekor.Decode(leaf)
	h := LogHit{Kind: HitEntry, Leaf: leaf, EntryKind: e.Kind, APIVersion: e.APIVersion}
	h.Hashes = append(append(h.Hashes, e.ArtifactHashes...), e.PayloadHashes...)
	for _, der := range e.Certificates {
		cert, parseErr := x509.ParseCertificate(der)
		if parseErr != nil {
			if i.Watch.MatchDER(der) {
				h.Problem = fmt.Sprintf("a signer's certificate that mentions a watched name cannot be parsed: %v", parseErr)
			}
			continue
		}
		i.certificate(&h, cert, cert.Raw, "")
	}
	for _, key := range e.Keys {
		if project, ok := i.Watch.Key(key); ok {
			sum := sha256.Sum256(key)
			h.Keys = append(h.Keys, hex.EncodeToString(sum[:]))
			h.claim(identity.WatchMatch{Class: identity.WatchKey, Project: project})
		}
	}
	if err != nil {
		h.Problem = err.Error()
	}
	switch {
	case h.Class != "":
		return h, true
	case h.Problem != "":
		h.Kind = HitUnreadable
		return h, true
	case e.UnknownMember != "" && i.Watch.Mentions(string(leaf)):
		h.Kind, h.Problem = HitUnreadable, "it mentions a watched name in a member that is not known: "+e.UnknownMember
		return h, true
	}
	return h, false
}

// Certificate inspects a leaf of a CT log.
func (i *LeafInspector) Certificate(_ uint64, leaf []byte) (LogHit, bool) {
	h := LogHit{Kind: HitCertificate, Leaf: leaf}
	l, err := ctlog.ParseLeaf(leaf)
	if err == nil {
		h.LoggedAt, h.EntryKind = l.Timestamp, l.Type.String()
		var cert *x509.Certificate
		if cert, err = l.X509Certificate(); err == nil {
			issuer := ""
			if l.Type == ctlog.Precert {
				issuer = hex.EncodeToString(l.IssuerKeyHash[:])
			}
			i.certificate(&h, cert, l.Certificate, issuer)
			return h, h.Class != ""
		}
	}
	h.Kind, h.Problem = HitUnreadable, err.Error()
	return h, true
}

// certificate adds a certificate to a hit if it has to do with a watched name. der is nil for a precertificate, whose
// issuer's key hash the leaf tells.
func (i *LeafInspector) certificate(h *LogHit, cert *x509.Certificate, der []byte, issuerKeyHash string) {
	c := HitCert{Serial: cert.SerialNumber.Text(16), NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(), DER: der}
	id, err := identity.FromCertificate(cert)
	var match identity.WatchMatch
	if err != nil {
		c.Problem = "its identity cannot be read: " + err.Error()
		if !i.Watch.MatchDER(cert.RawTBSCertificate) {
			return
		}
		match.Class = identity.WatchLookalike // it names something watched, in a way that Fulcio never writes
	} else {
		c.Identity = &id
		match = i.Watch.Classify(id)
	}
	if project, ok := i.Watch.Key(cert.RawSubjectPublicKeyInfo); ok && match.Class == "" {
		match = identity.WatchMatch{Class: identity.WatchKey, Project: project}
	}
	if match.Class == "" {
		return
	}
	// Without its TBS a certificate has no name in the record: the entry is kept as one that cannot be read.
	if c.TBSSHA256, err = attest.TBSHash(cert); err != nil {
		h.Problem = err.Error()
		return
	}
	switch {
	case issuerKeyHash != "":
		// A precertificate's signature is not in the leaf: the log checked it, and the issuer is named by its key.
		c.Chained = i.Roots.IssuesWith(issuerKeyHash)
		c.IssuerKeyHash = issuerKeyHash
		if !c.Chained {
			c.Problem = "its issuer is no trusted authority"
		}
	default:
		sum := sha256.Sum256(cert.Raw)
		c.SHA256 = hex.EncodeToString(sum[:])
		issuer, err := i.Roots.Issuer(cert)
		if err != nil {
			c.Problem = "it chains to no trusted authority: " + err.Error()
		} else {
			c.Chained, c.IssuerKeyHash = true, issuer
		}
	}
	c.Match = match
	h.Certificates = append(h.Certificates, c)
	h.claim(match)
}

// claim keeps the first class that a hit has, and the project with it.
func (h *LogHit) claim(m identity.WatchMatch) {
	if h.Class == "" {
		h.Class, h.Project = string(m.Class), m.Project
	}
}
