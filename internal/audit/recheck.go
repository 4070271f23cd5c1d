package audit

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// Claims is the record as checking what it claims uses it.
type Claims interface {
	// Verifications calls fn for each provenance document of a file that is in use, and each bundle of GitHub's store beside
	// each file that it is about, with what verifying it gave.
	Verifications(ctx context.Context, fn func(StoredDocument, DocumentFacts) error) error
	// Checkpoints calls fn for each checkpoint that was seen, in the form in which it was served.
	Checkpoints(ctx context.Context, fn func(tlog.SignedCheckpoint) error) error
	// AllHits calls fn for each hit, proven or not.
	AllHits(ctx context.Context, fn func(HitFacts) error) error
	Logs(ctx context.Context) ([]LogFacts, error)
}

// Recheck verifies again, with trusted roots and without any network, what the record says was verified: attestations with
// their inclusion proofs, the signatures of checkpoints, the chains of certificates in logs, and that logs contradicted
// themselves. It calls problem for every claim that does not hold, and counts what it looked at, by kind.
//
// What was verified with other trusted roots is left to the next audit, and counted; so are checkpoints of logs that the
// trusted roots do not name.
func Recheck(ctx context.Context, claims Claims, archive Archive, roots *trust.Set, problem func(string)) (map[string]int, error) {
	r := &rechecker{archive: archive, roots: roots, counts: map[string]int{}, report: func(format string, args ...any) { problem(fmt.Sprintf(format, args...)) }}
	err := claims.Verifications(ctx, r.document)
	if err == nil {
		err = claims.Checkpoints(ctx, r.checkpoint)
	}
	if err == nil {
		err = claims.AllHits(ctx, r.hit)
	}
	if err != nil {
		return r.counts, err
	}
	logs, err := claims.Logs(ctx)
	for _, l := range logs {
		r.incidents(l)
	}
	return r.counts, err
}

type rechecker struct {
	archive Archive
	roots   *trust.Set
	counts  map[string]int
	report  func(format string, args ...any)
}

// document verifies a provenance document again and compares all that came of it.
func (r *rechecker) document(d StoredDocument, held DocumentFacts) error {
	if held.VerifiedWith != r.archive.Verifier.Name {
		r.counts["documents that the next audit verifies again"]++
		return nil
	}
	v := r.archive.Verifier.Stored(d)
	r.counts["attestations verified again"] += len(v.Attestations)
	var facts []AttestationFacts
	for _, a := range v.Attestations {
		facts = append(facts, a.Facts)
	}
	got, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	want, err := json.Marshal(held.Attestations)
	if err != nil {
		return err
	}
	if v.Problem != held.Problem || string(got) != string(want) {
		what := "provenance document"
		if d.Bundle {
			what = "bundle of GitHub's store"
		}
		r.report("%s sha256:%s of %s: verifying it gives other facts than the record has", what, held.SHA256, d.Filename)
	}
	return nil
}

// ErrUnknownLog says that the trusted roots have no such log.
var ErrUnknownLog = errors.New("the trusted roots have no such log")

// checkpoint verifies the signature of a checkpoint.
func (r *rechecker) checkpoint(held tlog.SignedCheckpoint) error {
	cp, err := r.archive.Checkpoint(held.Origin, held.Raw)
	switch {
	case errors.Is(err, ErrUnknownLog):
		r.counts["checkpoints of logs that the trusted roots do not name"]++
		return nil
	case err != nil:
		r.report("checkpoint of log %s, size %d: %v", held.Origin, held.Size, err)
	case cp.Size != held.Size || cp.Root != held.Root:
		r.report("checkpoint of log %s: it is of size %d with root %x, the record has size %d and root %x", held.Origin, cp.Size, cp.Root, held.Size, held.Root)
	}
	r.counts["checkpoints verified again"]++
	return nil
}

// hit verifies the chains that are claimed of a leaf's certificates.
func (r *rechecker) hit(h HitFacts) error {
	for _, c := range h.Certificates {
		if !c.Chained {
			continue
		}
		r.counts["chains verified again"]++
		issuer, tbs, err := r.chain(h, c)
		switch {
		case err != nil:
			r.report("entry %d of log %s: the certificate with serial number %s: %v", h.Index, h.Origin, c.Serial, err)
		case issuer != c.IssuerKeyHash || tbs != c.TBSSHA256:
			r.report("entry %d of log %s: the certificate with serial number %s has the issuer %s and the TBS %s, the record has %s and %s",
				h.Index, h.Origin, c.Serial, issuer, tbs, c.IssuerKeyHash, c.TBSSHA256)
		}
	}
	return nil
}

// chain finds a certificate in a leaf again, and its issuer's key among the trusted ones.
func (r *rechecker) chain(h HitFacts, c HitCert) (issuer, tbs string, err error) {
	if h.Kind == HitCertificate {
		l, err := ctlog.ParseLeaf(h.Leaf)
		if err != nil {
			return "", "", err
		}
		cert, err := l.X509Certificate()
		if err != nil {
			return "", "", err
		}
		if l.Type != ctlog.Precert {
			return r.issuer(cert)
		}
		issuer = hex.EncodeToString(l.IssuerKeyHash[:])
		if !r.roots.IssuesWith(issuer) {
			return "", "", errors.New("its issuer is no trusted authority")
		}
		tbs, err = attest.TBSHash(cert)
		return issuer, tbs, err
	}
	e, err := rekor.Decode(h.Leaf)
	for _, der := range e.Certificates {
		if sum := sha256.Sum256(der); hex.EncodeToString(sum[:]) == c.SHA256 {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return "", "", err
			}
			return r.issuer(cert)
		}
	}
	return "", "", errors.Join(errors.New("the entry does not hold it"), err)
}

func (r *rechecker) issuer(cert *x509.Certificate) (issuer, tbs string, err error) {
	if issuer, err = r.roots.Issuer(cert); err != nil {
		return "", "", fmt.Errorf("it chains to no trusted authority: %w", err)
	}
	tbs, err = attest.TBSHash(cert)
	return issuer, tbs, err
}

// incidents shows again that a log contradicted itself.
func (r *rechecker) incidents(l LogFacts) {
	for _, i := range l.Incidents {
		r.counts["misbehaviours confirmed again"]++
		if confirmed, note := recheckIncident(i.Evidence, func(raw []byte) (tlog.SignedCheckpoint, error) { return r.archive.Checkpoint(l.Origin, raw) }); !confirmed {
			r.report("log %s: the evidence does not show %s: %s", l.Origin, i.Kind, note)
		}
	}
}
