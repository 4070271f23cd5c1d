package audit_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// onnxClaims are those of the project's release job, changed.
func onnxClaims(edit func(*sandbox.Claims)) sandbox.Plant {
	c := sandbox.ReleaseClaims("1.23.0")
	edit(&c)
	return sandbox.Plant{Claims: c}
}

// unexpected are the claims of a workflow that the policy does not know.
func unexpected(c *sandbox.Claims) { c.Workflow = "nightly.yml" }

// The mentions of names in what cannot be decoded.
const (
	ourMention   = "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/main"
	otherMention = "https://github.com/stranger/project/.github/workflows/release.yml@refs/heads/main"
)

// seed is an entry that is hidden in logs, and what must come of it.
type seed struct {
	name string
	// sow appends it to the log of a form.
	sow   func(w *logWorld, form string) error
	forms []string // whose logs can have it; nil for all
	kept  string   // kind and class that it is kept with; "" if it is nobody's business
	rule  string   // that is open because of it; "" for none
}

// seeds are one entry of every sort.
func seeds() []seed {
	certificate := func(p sandbox.Plant) func(*logWorld, string) error {
		return func(w *logWorld, form string) error { return w.certify(form, p) }
	}
	expected := onnxClaims(func(*sandbox.Claims) {})
	envelope := expected
	envelope.DSSE = true
	rogue := expected
	rogue.Options.Rogue = true
	tiled := []string{rekorV2}
	read := []string{rekorV2, ctRFC6962} // a static log's tile cannot be read past an entry of an unknown type
	malformed := func(text string) func(*logWorld, string) error {
		return func(w *logWorld, form string) (err error) {
			switch form {
			case rekorV2:
				_, err = w.Rekor2.AddMalformedCertificate(text)
			case ctRFC6962:
				_, err = w.CT.AddMalformedCertificate(text)
			default:
				_, err = w.StaticCT.AddMalformedCertificate(text)
			}
			return err
		}
	}
	unknown := func(text string) func(*logWorld, string) error {
		return func(w *logWorld, form string) (err error) {
			if form == rekorV2 {
				_, err = w.Rekor2.AddUnknownKind(text)
			} else {
				_, err = w.CT.AddUnknownType(text)
			}
			return err
		}
	}
	byKey := func(label string) func(*logWorld, string) error {
		return func(w *logWorld, _ string) error {
			_, _, err := w.Rekor2.AddKeySigned(label)
			return err
		}
	}
	return []seed{
		{"a release", certificate(expected), nil, `self`, ""},
		{"a release in an envelope", certificate(envelope), tiled, `self`, ""},
		{"an unknown workflow", certificate(onnxClaims(unexpected)), nil, `self`, audit.UnexpectedIdentity},
		{"a look-alike", certificate(onnxClaims(func(c *sandbox.Claims) { c.Repository, c.RepositoryID = "0nnx/0nnx", "999000111" })), nil, `look-alike`, audit.LookalikeIdentity},
		{"a certificate that chains to nothing", certificate(rogue), nil, `self`, audit.UnchainedCertificate},
		{"a watched key", byKey("ours"), tiled, `key`, ""},
		{"another key", byKey("theirs"), tiled, "", ""},
		{"a malformed certificate with the name", malformed(ourMention), nil, `unreadable`, audit.UnreadableEntry},
		{"a malformed certificate without it", malformed(otherMention), nil, "", ""},
		{"an unknown kind with the name", unknown(ourMention), read, `unreadable`, audit.UnreadableEntry},
		{"an unknown kind without it", unknown(otherMention), read, "", ""},
		{"a stranger", certificate(onnxClaims(func(c *sandbox.Claims) { c.Repository, c.RepositoryID = "onnx/onnxmltools", "999000222" })), nil, "", ""},
	}
}

// sown is what a follower must find of a log: hits as follower.hits has them, and rules by index.
type sown struct {
	hits  map[uint64]string
	rules map[uint64]string
}

// from leaves out what lies before an index.
func (s sown) from(first uint64) (hits map[uint64]string, open []string) {
	hits = map[uint64]string{}
	for at, hit := range s.hits {
		if at >= first {
			hits[at] = hit
		}
	}
	for at, rule := range s.rules {
		if at >= first {
			open = append(open, fmt.Sprintf("%s at %d", rule, at))
		}
	}
	slices.Sort(open)
	return hits, open
}

// sow grows the log of a form to a size, with one seed after the other at the given places.
func (w *logWorld) sow(t *testing.T, form string, size uint64, into sown, places ...uint64) {
	t.Helper()
	all := slices.DeleteFunc(seeds(), func(s seed) bool { return s.forms != nil && !slices.Contains(s.forms, form) })
	if len(places) < len(all) {
		t.Fatalf("%d places for %d sorts of entries", len(places), len(all))
	}
	for i, at := range places {
		s := all[i%len(all)]
		w.fill(t, form, at)
		if err := s.sow(w, form); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if w.ledger(form).Size() != at+1 {
			t.Fatalf("%s is not entry %d", s.name, at)
		}
		kind, class := audit.HitEntry, s.kept
		switch {
		case s.kept == "":
			continue
		case s.kept == "unreadable":
			kind, class = audit.HitUnreadable, ""
		case form != rekorV2:
			kind = audit.HitCertificate
		}
		into.hits[at] = fmt.Sprintf("%s %q %s", kind, class, w.leafHash(t, form, at))
		if s.rule != "" {
			into.rules[at] = s.rule
		}
	}
	w.fill(t, form, size)
}

// TestHonestLogsAreFollowedFromAnywhere has a log of each form grow between two runs, past the ends of its partial tiles,
// with entries of every sort at the places where followers go wrong.
func TestHonestLogsAreFollowedFromAnywhere(t *testing.T) {
	const before, after = 700, 1030
	for _, form := range logForms() {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			w := newLogWorld(t)
			// The sandbox makes the same keys from the same names.
			_, spki, err := newLogWorld(t).Rekor2.AddKeySigned("ours")
			if err != nil {
				t.Fatal(err)
			}
			w.watched.Keys = []string{digest(spki)}
			want := sown{map[uint64]string{}, map[uint64]string{}}
			w.sow(t, form, before, want, 0, 1, 254, 255, 256, 257, 299, 300, 350, 511, 512, 513, 605, 698, 699)
			starts := []struct {
				name  string
				start func(context.Context, uint64) (uint64, error)
				first uint64
				*follower
			}{
				{"zero", fromZero, 0, nil}, {"an odd place", fromIndex(300), 300, nil}, {"a full tile", fromIndex(512), 512, nil}, {"the head", fromHead, before, nil},
			}
			for i := range starts {
				s := &starts[i]
				s.follower = w.newFollower(t, "")
				if got := s.follow(t, s.target(t, form, s.start))[0]; got.Trouble != "" || got.From != s.first || got.Proven != before {
					t.Fatalf("from %s: %+v", s.name, got)
				}
			}
			w.sow(t, form, after, want, 700, 701, 766, 767, 768, 769, 800, 900, 1000, 1022, 1023, 1024, 1027, 1028, 1029)
			for _, s := range starts {
				if got := s.follow(t, s.target(t, form, fromZero))[0]; got.Trouble != "" || got.From != before || got.To != after || got.Proven != after {
					t.Fatalf("from %s, grown: %+v", s.name, got)
				}
				hits, open := want.from(s.first)
				if diff := cmp.Diff(hits, s.hits(t, form, true)); diff != "" {
					t.Errorf("from %s (-want +got):\n%s", s.name, diff)
				}
				var opened []string
				for _, f := range s.findings(t) {
					opened = append(opened, fmt.Sprintf("%s at %d", f.Rule, index(f)))
				}
				slices.Sort(opened)
				if diff := cmp.Diff(open, opened); diff != "" {
					t.Errorf("from %s, findings (-want +got):\n%s", s.name, diff)
				}
				s.confirmed(t, s.findings(t))
				if l := s.facts(t, form); len(l.Ranges) != 1 || l.Ranges[0].From != s.first || l.Ranges[0].To != after || l.Read != after || l.Latest != after || len(l.Incidents) != 0 {
					t.Errorf("from %s: coverage %+v", s.name, l)
				}
			}
		})
	}
}

// TestANewShardIsFollowedOnceItIsTrusted opens a shard in a running world: whoever reads the trusted root again follows it,
// beside the old one.
func TestANewShardIsFollowedOnceItIsTrusted(t *testing.T) {
	w := newLogWorld(t)
	f := w.newFollower(t, "")
	w.fill(t, rekorV2, 300)
	f.follow(t, f.target(t, rekorV2, fromZero))
	for _, onCurve := range []bool{false, true} {
		shard, err := w.AddShard(sandbox.ShardOptions{Host: fmt.Sprintf("log2027-%t.rekor.sandbox.example", onCurve), ECDSA: onCurve})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.source(rekorV2, shard.Origin(), shard.URL(), f.client); err == nil {
			t.Error("a shard is read that nobody vouched for")
		}
		f.trust(t)
		planted, err := w.PlantRekor2(shard, 300, sandbox.Plant{At: 299, Claims: onnxClaims(unexpected).Claims})
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range f.follow(t, f.target(t, rekorV2, fromZero), f.open(t, rekorV2, shard.Ledger, fromZero)) {
			if got.Trouble != "" || got.Proven != 300 {
				t.Errorf("%+v", got)
			}
		}
		if !slices.ContainsFunc(f.findings(t), func(x audit.Finding) bool {
			return x.Rule == audit.UnexpectedIdentity && x.Log.Origin == shard.Origin() && x.Log.Index == int64(planted[0].Index)
		}) {
			t.Errorf("what was signed there is not found: %v", f.findings(t))
		}
	}
}

// TestAnEntryTypeThatHidesTheRestOfATileIsUnknown: the type of a static log's entry says how long it is. What cannot be read
// past it is not skipped.
func TestAnEntryTypeThatHidesTheRestOfATileIsUnknown(t *testing.T) {
	w := newLogWorld(t)
	f := w.newFollower(t, "")
	w.fill(t, ctStatic, 300)
	if got := f.follow(t, f.target(t, ctStatic, fromZero))[0]; got.Proven != 300 {
		t.Fatalf("%+v", got)
	}
	if _, err := w.StaticCT.AddUnknownType(otherMention); err != nil {
		t.Fatal(err)
	}
	w.fill(t, ctStatic, 400)
	for range 2 {
		if got := f.follow(t, f.target(t, ctStatic, fromZero))[0]; got.Trouble == "" || got.Proven != 300 || len(got.Misbehaviours) != 0 {
			t.Errorf("%+v", got)
		}
		f.clock.Advance(6 * time.Hour)
	}
	if diff := cmp.Diff([]string{audit.SourceUnreachable}, rules(f.findings(t))); diff != "" {
		t.Error(diff)
	}
}
