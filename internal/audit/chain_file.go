package audit

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// file makes the chain of a file: its attestations are verified again, and their signers judged again.
func (x *Explainer) file(f ExplainedFile) (Link, error) {
	l := Link{Kind: LinkFile, Name: fmt.Sprintf("%s/%s/%s sha256:%s", f.Index, f.PyPIProject, f.File, f.SHA256)}
	l.listed(f)
	document, err := x.document(&l, f)
	if err != nil {
		return l, err
	}
	var verified []VerifiedAttestation
	if document != nil {
		of := x.Archive.Verifier.Document(document, f.File, f.SHA256)
		if of.Problem != "" {
			l.check("provenance-document", LinkFailed, "it cannot be read: %s", of.Problem)
		}
		verified = of.Attestations
	}
	policy := x.policyOf(x.Projects[f.Index+"/"+f.PyPIProject])
	var best bestLink
	for _, at := range verified {
		best.hang(&l, x.attestation(f, at, policy))
	}
	switch {
	case document == nil:
	case len(l.Links) == 0:
		l.check("covered", LinkFailed, "the provenance document holds no attestation")
	default:
		l.check("covered", best.status(), "%s", best.says("no attestation holds to the end of its chain"))
	}
	if err := x.store(&l, f, policy, document != nil && best.status() == LinkOK); err != nil {
		return l, err
	}
	return l.conclude(), nil
}

// bestLink is of several links the one that holds best.
type bestLink struct {
	holds LinkStatus // "" while there is none that does not fail
	name  string
}

// hang hangs a link, and compares it.
func (b *bestLink) hang(on *Link, link Link) {
	if status := link.holds(); status == LinkOK && b.holds != LinkOK || status == LinkUnknown && b.holds == "" {
		b.holds, b.name = status, link.Name
	}
	on.hang(link)
}

func (b *bestLink) status() LinkStatus {
	if b.holds == "" {
		return LinkFailed
	}
	return b.holds
}

// says says which one holds; none is what to say where none does.
func (b *bestLink) says(none string) string {
	switch b.holds {
	case LinkOK:
		return "attestation " + b.name + " holds to the end of its chain"
	case LinkUnknown:
		return "attestation " + b.name + " holds as far as can be told"
	}
	return none
}

// listed compares what the index lists with the file.
func (l *Link) listed(f ExplainedFile) {
	var entry struct {
		Filename string            `json:"filename"`
		Hashes   map[string]string `json:"hashes"`
	}
	switch err := json.Unmarshal(f.Listing, &entry); {
	case err != nil:
		l.check("listed", LinkUnknown, "the index's entry cannot be read: %v", err)
	case entry.Filename != f.File || entry.Hashes["sha256"] != f.SHA256:
		l.add(LinkCheck{Name: "listed", Status: LinkFailed, Detail: "the index's entry is of another file", Got: entry.Filename + " sha256:" + entry.Hashes["sha256"], Want: f.File + " sha256:" + f.SHA256})
	default:
		l.recorded("listed", LinkOK, "by the index, last seen %s", stamp(f.LastSeen))
	}
	switch {
	case !f.ReplacedAt.IsZero():
		l.recorded("still-there", LinkFailed, "since %s the filename stands for sha256:%s", stamp(f.ReplacedAt), f.ReplacedBy)
	case !f.RemovedAt.IsZero():
		l.recorded("still-there", LinkFailed, "gone from the index since %s", stamp(f.RemovedAt))
	}
}

// document is the file's provenance document; nil where there is none, of which a check says why.
func (x *Explainer) document(l *Link, f ExplainedFile) ([]byte, error) {
	var body []byte
	if f.Document != "" {
		var err error
		if body, err = x.Archive.Document(f.Document); err != nil {
			return nil, err
		}
	}
	status, what := LinkOK, "served by the index"
	switch f.Provenance {
	case ProvenanceServed:
	case ProvenanceNone, ProvenanceNotFound:
		status, what = LinkFailed, "the index serves none"
		if f.Document != "" {
			what += " any more"
		}
	default:
		status, what = LinkUnknown, fmt.Sprintf("what the index has is not known: %s", f.Provenance)
	}
	l.recorded("provenance", status, "%s", what)
	if f.Document == "" {
		return nil, nil
	}
	if body == nil {
		l.check("provenance-document", LinkUnknown, "sha256:%s is not at hand", f.Document)
		return nil, nil
	}
	l.check("provenance-document", LinkOK, "sha256:%s, %d bytes; nobody signs it as a whole", f.Document, len(body))
	return body, nil
}

// attestation makes the link of an attestation, with its entries, its certificate and the policy.
func (x *Explainer) attestation(f ExplainedFile, at VerifiedAttestation, policy chainPolicy) Link {
	facts := at.Facts
	l := Link{Kind: LinkAttestation, Name: fmt.Sprintf("%d of bundle %d: %s", facts.Index+1, facts.Bundle+1, predicateName(facts.PredicateType))}
	x.attested(&l, f, at, policy)
	return l.conclude()
}

// attested adds an attestation's checks, and what hangs on it. Of what GitHub itself signs no policy is asked.
func (x *Explainer) attested(l *Link, f ExplainedFile, at VerifiedAttestation, policy chainPolicy) {
	facts := at.Facts
	own, entries, certificate := splitChecks(facts.Checks)
	for _, c := range own {
		l.add(c)
	}
	if facts.PredicateError != "" {
		l.check("predicate-content", LinkFailed, "%s", facts.PredicateError)
	}
	for _, m := range facts.Contradictions {
		l.add(LinkCheck{Name: "predicate-content", Status: LinkFailed, Detail: "the predicate contradicts the certificate: " + m.Field, Got: m.Got, Want: m.Want})
	}
	for i, checks := range entries {
		l.hang(x.attestedEntry(f, at, i, checks))
	}
	if at.Certificate != nil {
		c := Link{Kind: LinkCertificate, Name: certificateName(at.Certificate.Serial, facts)}
		for _, check := range certificate {
			c.add(check)
		}
		for _, known := range f.Certificates {
			if known.TBSSHA256 == at.Certificate.TBSHash {
				c.promises(known)
			}
		}
		if !facts.Release {
			c.hang(policy.file(f, facts))
		}
		l.hang(c.conclude())
	} else {
		for _, check := range certificate {
			l.add(check)
		}
	}
}

func certificateName(serial string, facts AttestationFacts) string {
	if facts.Identity == nil {
		return "serial " + serial
	}
	return fmt.Sprintf("serial %s, issued to %s", serial, oneLine(facts.Identity.Describe(), 300))
}

// attestedEntry makes the link of the log entry that an attestation carries, the i-th, of its checks and of what the record
// found out. Of an entry whose proof does not hold nothing more is known.
func (x *Explainer) attestedEntry(f ExplainedFile, at VerifiedAttestation, i int, checks []LinkCheck) Link {
	l := Link{Kind: LinkEntry, Name: fmt.Sprintf("%d of the attestation", i+1)}
	for _, c := range checks {
		l.add(c)
	}
	all := at.AllEntries
	if i >= len(all) {
		return l.conclude()
	}
	e := all[i]
	if e.Origin != "" {
		l.Name = fmt.Sprintf("%s, index %d (global %d)", oneLine(e.Origin, 120), e.TreeIndex, e.LogIndex)
	}
	for _, known := range f.Entries {
		if known.Origin == e.Origin && known.Index == e.TreeIndex && known.LeafHash == e.LeafHash {
			x.looked(&l, known, e)
		}
	}
	return l.conclude()
}

// looked adds what the record found out of an entry in its log.
func (x *Explainer) looked(l *Link, known ExplainedEntry, e attest.Entry) {
	switch {
	case known.Read:
		l.recorded("log-read", LinkOK, "the entry is within what was read of the log, and proven complete")
	case !known.Asked:
		l.recorded("log-asked", LinkSkipped, "the log is not asked for single entries, and was not read that far")
	case known.Outcome == EntryUnknown:
		l.recorded("log-asked", LinkUnknown, "what the log has in its place is not known yet")
	case known.Outcome == EntrySame && known.Proof != nil:
		x.confirmed(l, known, e)
	case known.Outcome == EntryMissing:
		l.recorded("log-asked", LinkFailed, "since %s the log has nothing in its place", stamp(known.OutcomeAt))
	default:
		l.recorded("log-asked", LinkFailed, "since %s the log has another entry in its place", stamp(known.OutcomeAt))
	}
	if !known.Heard {
		return
	}
	switch known.Gossip {
	case GossipRelated:
		l.recorded("same-tree", LinkOK, "a proof showed the bundle's checkpoint to be of the tree that the log shows")
	case GossipSplitView:
		l.recorded("same-tree", LinkFailed, "the bundle's checkpoint contradicts the tree that the log shows")
	case GossipUnlisted:
		l.recorded("same-tree", LinkFailed, "the log signed the bundle's tree, and does not list it")
	default:
		l.recorded("same-tree", LinkUnknown, "whether the bundle's checkpoint is of the tree that the log shows is not known yet")
	}
}

// confirmed proves the log's own entry again, and holds it against the attestation's.
func (x *Explainer) confirmed(l *Link, known ExplainedEntry, e attest.Entry) {
	entry, _, err := x.rekor1Entry(known.Proof, e.Body)
	if err != nil {
		l.check("log-asked", LinkFailed, "the log's proof of the same entry does not hold: %v", err)
		return
	}
	hash := tlog.LeafHash(e.Body)
	l.add(LinkCheck{Name: "log-asked", Status: LinkOK, Detail: fmt.Sprintf("the log has the very entry, proven in a tree of size %d", entry.Checkpoint.Size),
		Got: hex.EncodeToString(hash[:]), Want: e.LeafHash})
}

// promises adds what came of the promises of CT logs.
func (l *Link) promises(c ExplainedCertificate) {
	for _, p := range c.Promises {
		log := oneLine(p.Origin, 120)
		if log == "" {
			log = "log " + p.LogID
		}
		switch p.Outcome {
		case LookupFound:
			l.recorded("promise-kept", LinkOK, "%s has the certificate, proven", log)
		case LookupMissing:
			l.recorded("promise-kept", LinkFailed, "%s does not have the certificate that it promised: %s", log, p.Problem)
		case LookupUnpromised:
			l.recorded("promise-kept", LinkFailed, "no log promised to have the certificate: %s", p.Problem)
		case LookupUnneeded:
			l.recorded("promise-kept", LinkSkipped, "the issuer's trusted root has no certificate transparency log")
		case LookupNotAsked, LookupNoSuchLog:
			l.recorded("promise-kept", LinkSkipped, "%s was not asked: %s", log, p.Problem)
		default:
			l.recorded("promise-kept", LinkUnknown, "%s has not answered yet", log)
		}
	}
}
