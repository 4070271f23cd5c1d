package audit

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// leaf makes the chain of a log's leaf: of an entry with the certificates in it, or of a certificate.
func (x *Explainer) leaf(e ExplainedLeaf) (Link, error) {
	l := Link{Kind: LinkEntry, Name: fmt.Sprintf("%s, index %d (global %d)", oneLine(e.Origin, 120), e.Index, e.GlobalIndex)}
	if e.Kind == HitCertificate {
		l.Name = fmt.Sprintf("certificate transparency log %s, index %d", oneLine(e.Origin, 120), e.Index)
	}
	body, err := x.Archive.Leaf(e.LeafHash)
	if err != nil {
		return l, err
	}
	if body == nil {
		l.check("leaf", LinkUnknown, "it is not at hand")
		return l.conclude(), nil
	}
	hash := tlog.LeafHash(body)
	got := hex.EncodeToString(hash[:])
	status := LinkOK
	if got != e.LeafHash {
		status = LinkFailed
	}
	l.add(LinkCheck{Name: "leaf-hash", Status: status, Detail: fmt.Sprintf("%d bytes", len(body)), Got: got, Want: e.LeafHash})
	x.proven(&l, e, body)
	l.belongs(e.Files)
	certificates, err := certificatesOf(e.Kind, body)
	if err != nil {
		l.check("decoded", LinkFailed, "%v", err)
	}
	for _, c := range certificates {
		if project, ok := e.Certificates[c.tbs]; ok {
			l.hang(x.shownCertificate(c, project, e))
		}
	}
	return l.conclude(), nil
}

// proven says what shows that the log has the leaf.
func (x *Explainer) proven(l *Link, e ExplainedLeaf, body []byte) {
	switch {
	case e.Proof != nil:
		entry, _, err := x.rekor1Entry(e.Proof, body)
		if err != nil {
			l.check("inclusion-proof", LinkFailed, "%v", err)
			return
		}
		l.check("inclusion-proof", LinkOK, "in the tree of size %d that the log signed, logged at %s", entry.Checkpoint.Size, stamp(entry.IntegratedTime))
	case e.Proven:
		x.signedTree(l, e)
		l.recorded("log-read", LinkOK, "it is within what was read of the log, whose signed root the leaves hash to; that it is in there takes the log to be shown again")
	default:
		l.recorded("log-read", LinkUnknown, "no verified root commits to it yet")
	}
}

// signedTree verifies the checkpoint that what was read of the log was proven against.
func (x *Explainer) signedTree(l *Link, e ExplainedLeaf) {
	if len(e.Checkpoint) == 0 {
		return
	}
	cp, err := x.Archive.Checkpoint(e.Origin, e.Checkpoint)
	switch {
	case errors.Is(err, ErrUnknownLog):
		l.check("checkpoint", LinkUnknown, "%v", err)
	case err != nil:
		l.check("checkpoint", LinkFailed, "%v", err)
	case e.Index >= cp.Size:
		l.check("checkpoint", LinkFailed, "the log signed a tree of size %d, which has no leaf %d", cp.Size, e.Index)
	default:
		l.check("checkpoint", LinkOK, "the log signed a tree of size %d, root %x", cp.Size, cp.Root)
	}
}

// belongs says which files the leaf is of.
func (l *Link) belongs(files []AttestedFile) {
	if len(files) == 0 {
		l.recorded("belongs-to", LinkSkipped, "no file: no attestation on record names it or was made with its certificate")
		return
	}
	var names []string
	for _, f := range files {
		names = append(names, fmt.Sprintf("%s %s sha256:%s", f.PyPIProject, oneLine(f.File, 120), f.SHA256))
	}
	l.recorded("belongs-to", LinkOK, "%s", strings.Join(names, "; "))
}

// shownCert is a certificate as a leaf shows it.
type shownCert struct {
	cert *x509.Certificate
	tbs  string
	// issuer is the hex hash of the issuer's key that the leaf of a precertificate names; "" for others.
	issuer string
}

// certificatesOf reads the certificates of a leaf. The error says what of it could not be decoded.
func certificatesOf(kind HitKind, body []byte) ([]shownCert, error) {
	if kind == HitCertificate {
		leaf, err := ctlog.ParseLeaf(body)
		if err != nil {
			return nil, err
		}
		cert, err := leaf.X509Certificate()
		if err != nil {
			return nil, err
		}
		c, err := shownCertOf(cert)
		if leaf.Type == ctlog.Precert {
			c.issuer = hex.EncodeToString(leaf.IssuerKeyHash[:])
		}
		return []shownCert{c}, err
	}
	entry, decoded := rekor.Decode(body)
	var all []shownCert
	for _, der := range entry.Certificates {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			continue // it cannot be one that the record knows by its TBS
		}
		if c, err := shownCertOf(cert); err == nil {
			all = append(all, c)
		}
	}
	return all, decoded
}

func shownCertOf(cert *x509.Certificate) (shownCert, error) {
	tbs, err := attest.TBSHash(cert)
	return shownCert{cert: cert, tbs: tbs}, err
}

// shownCertificate makes the link of a certificate that a leaf shows, with the policy.
func (x *Explainer) shownCertificate(c shownCert, project string, e ExplainedLeaf) Link {
	id, err := identity.FromCertificate(c.cert)
	l := Link{Kind: LinkCertificate, Name: "serial " + c.cert.SerialNumber.Text(16)}
	var who *identity.Identity
	problem := ""
	if err != nil {
		problem = err.Error()
	} else {
		who = &id
		l.Name += ", issued to " + oneLine(id.Describe(), 300)
	}
	l.check("certificate", LinkOK, "valid %s to %s, tbs-sha256:%s", stamp(c.cert.NotBefore), stamp(c.cert.NotAfter), c.tbs)
	switch {
	case c.issuer != "" && x.Roots.IssuesWith(c.issuer):
		l.check("certificate-chain", LinkOK, "the log names a trusted authority's key, whose signature it checked: sha256:%s", c.issuer)
	case c.issuer != "":
		l.check("certificate-chain", LinkFailed, "no trusted authority has the key sha256:%s", c.issuer)
	default:
		issuer, err := x.Roots.Issuer(c.cert)
		sum := sha256.Sum256(c.cert.Raw)
		if err != nil {
			l.check("certificate-chain", LinkFailed, "it chains to no trusted authority: %v", err)
		} else {
			l.check("certificate-chain", LinkOK, "sha256:%x, issued with the key sha256:%s", sum, issuer)
		}
	}
	for _, known := range e.Promises {
		if known.TBSSHA256 == c.tbs {
			l.promises(known)
		}
	}
	l.hang(x.policyOf(project).signer(who, problem))
	return l.conclude()
}
