package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/pypi"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// fact is something that a record learns, after what it needs.
type fact struct {
	name  string
	after string
	learn func(*DB) error
}

// seen is when everything is seen: the order is all that differs.
var seen = hour(1)

// inALog is a leaf in a log of its own: a hit with one certificate.
func inALog(name string, kind audit.HitKind, class, body string, id identity.Identity, chained bool) fact {
	return fact{name: name, learn: func(db *DB) error {
		ctx := context.Background()
		l, err := db.Log(ctx, LogName{Origin: name + ".example", Kind: map[bool]string{true: "ct-static", false: "rekor-v2"}[kind == audit.HitCertificate], KeyID: name}, "list 1")
		if err != nil {
			return err
		}
		h := hit(0)
		h.Kind, h.Class, h.Leaf = kind, class, []byte(body)
		if class != "self" {
			h.Project = ""
		}
		c := &h.Certificates[0]
		c.TBSSHA256, c.Identity, c.Chained, c.NotBefore = "tbs of "+id.RunInvocationURI+id.SAN, &id, chained, seen
		c.Match = identity.WatchMatch{Class: identity.WatchClass(class), Project: h.Project}
		if !chained {
			c.IssuerKeyHash, c.Problem = "", "it chains to nothing"
		}
		if kind == audit.HitUnreadable {
			h.Certificates, h.Problem = nil, "it is of no known kind"
		}
		hash := tlog.LeafHash(h.Leaf)
		cp := tlog.SignedCheckpoint{Origin: l.origin, Size: 1, Root: hash, Raw: []byte(name)}
		return errors.Join(l.Begin(ctx, seen, 0, nil, cp), l.Advance(ctx, seen, tlog.Batch[audit.LogHit]{To: 1, Range: [][]byte{hash[:]}, Hits: []tlog.Hit[audit.LogHit]{{Hit: h}}}),
			l.Prove(ctx, seen, 1, cp))
	}}
}

// facts are those of a project that signs, and of strangers: files, attestations, statements, entries, certificates and hits.
func factsToShuffle() []fact {
	release := func(run string) identity.Identity {
		id := scaleIdentity("release.yml", "workflow_dispatch", "pypi")
		id.RunInvocationURI = run
		return id
	}
	evil := scaleIdentity("evil.yml", "push", "")
	person := identity.Identity{SAN: "somebody@example.org", SANType: "email", Issuer: "https://accounts.google.com"}
	all := []fact{
		{name: "project", learn: func(db *DB) error {
			p, err := db.Project(context.Background(), "onnx", "pypi", "onnx")
			if err != nil {
				return err
			}
			_, err = db.SaveListing(context.Background(), seen, audit.ListingUpdate{ProjectID: p.ID, Listing: &pypi.Listing{Serial: 1, Files: []pypi.File{listed("a-1.0.whl", sha('1')), listed("b-1.0.whl", sha('2'))}}})
			return err
		}},
		{name: "attested", after: "project", learn: func(db *DB) error {
			e := attest.Entry{LogID: "e1", Origin: "e1.example", Kind: "hashedrekord", APIVersion: "0.0.2", Body: signed(sha('a')), InclusionProven: true}
			hash := tlog.LeafHash(e.Body)
			e.LeafHash = fmt.Sprintf("%x", hash)
			var file int64
			if err := db.w.QueryRow(`SELECT id FROM files WHERE filename = 'a-1.0.whl'`).Scan(&file); err != nil {
				return err
			}
			return db.SaveProvenance(context.Background(), seen, file, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte("x"), Verification: audit.Verification{VerifiedWith: "v",
				Attestations: []audit.VerifiedAttestation{{Facts: audit.AttestationFacts{Status: attest.Verified}, Entries: []attest.Entry{e}}}}})
		}},
		{name: "stated", learn: func(db *DB) error {
			return db.SaveStatements(context.Background(), seen, sha('1'), []audit.KnownStatement{{SHA256: sha('b'), PAESHA256: sha('c'), PredicateType: attest.PredicateSLSA, Subjects: []string{sha('1'), sha('2')}}})
		}},
		{name: "stated in part", learn: func(db *DB) error {
			return db.SaveStatements(context.Background(), seen, sha('2'), []audit.KnownStatement{{SHA256: sha('d'), PAESHA256: sha('e'), PredicateType: attest.PredicateSLSA, Subjects: []string{sha('2'), sha('9')}}})
		}},
		inALog("e1", audit.HitEntry, "self", string(signed(sha('a'))), release("run 1"), true),
		inALog("e2", audit.HitEntry, "self", string(signed(sha('b'))), release("run 1"), true),
		inALog("e3", audit.HitEntry, "self", string(signed(sha('d'))), release("run 1"), true),
		inALog("e4", audit.HitEntry, "self", string(signed(sha('f'))), release("run 1"), true),
		inALog("e5", audit.HitEntry, "self", string(signed(sha('g'))), release("run 2"), true),
		inALog("e6", audit.HitEntry, "self", string(signed(sha('h'))), evil, true),
		inALog("e7", audit.HitEntry, "self", string(signed(sha('i'))), evil, false),
		inALog("e8", audit.HitUnreadable, "", "unreadable", identity.Identity{}, false),
		inALog("f1", audit.HitEntry, audit.ClassForeign, string(signed(sha('1'))), person, true),
		inALog("f2", audit.HitEntry, audit.ClassForeign, string(signed(sha('2'))), person, true),
		inALog("c1", audit.HitCertificate, "self", "certificate 1", release("run 1"), true),
		inALog("c2", audit.HitCertificate, "self", "certificate 2", release("run 3"), true),
		inALog("c3", audit.HitCertificate, "self", "certificate 3", release("run 3"), true),
		inALog("c4", audit.HitCertificate, "look-alike", "certificate 4", identity.Identity{SAN: "onnx@evil.example", Issuer: "https://accounts.google.com"}, true),
	}
	return all
}

// TestFindingsDoNotDependOnTheOrderInWhichFactsArrive learns the same in many orders, and now and then works out meanwhile what is known
// so far: the findings are the same to the byte.
func TestFindingsDoNotDependOnTheOrderInWhichFactsArrive(t *testing.T) {
	ctx := context.Background()
	var first []string
	for seed := range uint64(24) {
		random := rand.New(rand.NewPCG(seed, 1))
		facts := factsToShuffle()
		if seed > 0 {
			random.Shuffle(len(facts), func(i, k int) { facts[i], facts[k] = facts[k], facts[i] })
		}
		db, learnt := openTemp(t), map[string]bool{}
		var order []string
		for len(learnt) < len(facts) {
			for _, f := range facts {
				if learnt[f.name] || f.after != "" && !learnt[f.after] {
					continue
				}
				if err := f.learn(db); err != nil {
					t.Fatalf("%s after %v: %v", f.name, order, err)
				}
				learnt[f.name], order = true, append(order, f.name)
				if random.IntN(4) == 0 {
					if err := db.Account(ctx); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if _, err := db.w.Exec(`UPDATE pypi_projects SET checked_at = ?`, micros(hour(99))); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.SettleLogs(ctx, db, audit.NewRuleSet(nil), map[string]identity.Policy{"onnx": scalePolicy()}, nil, seen.Add(48*time.Hour), nil); err != nil {
			t.Fatal(err)
		}
		found, err := db.Findings(ctx, FindingFilter{})
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		rules := map[string]bool{}
		for _, f := range found {
			text, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			texts, rules[f.Rule] = append(texts, string(text)), true
		}
		if _, err := db.Fsck(ctx, func(problem string) {
			if !strings.Contains(problem, "proven") && !strings.Contains(problem, "certificate") { // these certificates are made up
				t.Errorf("fsck: %s", problem)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if seed == 0 {
			first = texts
			for _, rule := range []string{audit.UnaccountedEntry, audit.ForeignSignature, audit.UnaccountedCertificate, audit.UnexpectedIdentity, audit.UnchainedCertificate, audit.UnreadableEntry, audit.LookalikeIdentity} {
				if !rules[rule] {
					t.Errorf("there is no %s to compare: %v", rule, rules)
				}
			}
			continue
		}
		if diff := cmp.Diff(first, texts); diff != "" {
			t.Fatalf("in the order %v: %s", order, diff)
		}
	}
}
