package rekor

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

func TestShardsAreReadWithTheirOffsets(t *testing.T) {
	w := newV1World(t, 7, 12, 5)
	shards, err := w.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ tree, offset, size uint64 }{
		{1193050959916656506, 0, 7}, {1193050959916656507, 7, 12}, {1193050959916656508, 19, 5},
	} {
		got := shards.Shards[i]
		if got.TreeID != want.tree || got.Offset != want.offset || got.Checkpoint.Size != want.size || !bytes.Equal(got.Checkpoint.Root[:], w.trees[i].tree.Hash()) {
			t.Errorf("shard %d: %+v", i, got)
		}
	}
	if got := shards.Shards[0].Checkpoint.Origin; got != "rekor.example - 1193050959916656506" {
		t.Errorf("origin %q", got)
	}
	if shards.Size() != 24 || len(shards.Shards) != 3 {
		t.Errorf("%d entries in %d shards", shards.Size(), len(shards.Shards))
	}
	if got := w.asks(); len(got) != 1 || got[0] != "/log " {
		t.Errorf("asked for %q", got)
	}
}

func TestGlobalIndicesAreThoseOfTheShards(t *testing.T) {
	w := newV1World(t, 7, 12, 5)
	shards, err := w.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const first = 1193050959916656506
	for global, want := range map[uint64]struct {
		tree  uint64
		local uint64
	}{0: {first, 0}, 6: {first, 6}, 7: {first + 1, 0}, 18: {first + 1, 11}, 19: {first + 2, 0}, 23: {first + 2, 4}, 500: {first + 2, 481}} {
		shard, local := shards.Locate(global)
		if shard.TreeID != want.tree || local != want.local {
			t.Errorf("entry %d is %d of tree %d, want %d of %d", global, local, shard.TreeID, want.local, want.tree)
		}
		if got, err := shards.Global(want.tree, want.local); err != nil || got != global {
			t.Errorf("entry %d of tree %d is %d, %v; want %d", want.local, want.tree, got, err, global)
		}
	}
	for _, bad := range []struct{ tree, local uint64 }{{first, 7}, {first + 1, 12}, {first + 3, 0}, {first + 2, 1 << 60}} {
		if got, err := shards.Global(bad.tree, bad.local); err == nil {
			t.Errorf("entry %d of tree %d is %d", bad.local, bad.tree, got)
		}
	}
	if shards.Frozen(first+2) || !shards.Frozen(first) || shards.Frozen(17) {
		t.Error("the wrong shards are frozen")
	}
}

func TestAFreshLogHasOneEmptyShard(t *testing.T) {
	w := newV1World(t, 0)
	shards, err := w.Shards(t.Context())
	if err != nil || shards.Size() != 0 || len(shards.Shards) != 1 {
		t.Errorf("%+v, %v", shards, err)
	}
}

// TestShardsThatDoNotAgreeWithTheirSignaturesAreRefused alters one thing of an answer at a time.
func TestShardsThatDoNotAgreeWithTheirSignaturesAreRefused(t *testing.T) {
	w := newV1World(t, 7, 12)
	stranger := newV1World(t, 7, 12)
	hundreds := make([]*models.InactiveShardLogInfo, 300)
	for i := range hundreds {
		hundreds[i] = w.log().InactiveShards[0]
	}
	for name, c := range map[string]struct {
		edit func(*models.LogInfo)
		want string
		bad  bool // is evidence
	}{
		"another size":           {func(i *models.LogInfo) { *i.TreeSize = 13 }, "it has 13 entries, and its signed tree head says 12", false},
		"another root":           {func(i *models.LogInfo) { *i.RootHash = hex.EncodeToString(make([]byte, 32)) }, "its signed tree head says", false},
		"another tree":           {func(i *models.LogInfo) { *i.TreeID = "17" }, "its signed tree head is of tree 1193050959916656507", false},
		"a tree id with a sign":  {func(i *models.LogInfo) { *i.TreeID = "-17" }, "not a plain positive number", false},
		"no tree head":           {func(i *models.LogInfo) { *i.SignedTreeHead = "" }, "no signed tree head", false},
		"a stranger's tree head": {func(i *models.LogInfo) { *i.SignedTreeHead = *stranger.log().SignedTreeHead }, "no signature by this key", true},
		"a forged tree head":     {func(i *models.LogInfo) { *i.SignedTreeHead = strings.Replace(*i.SignedTreeHead, "\n12\n", "\n13\n", 1) }, "signature does not verify", true},
		"another host": {func(i *models.LogInfo) {
			*i.SignedTreeHead = strings.Replace(*i.SignedTreeHead, "rekor.example -", "rekor.invalid -", 1)
		}, "it is of another log", true},
		"another kind of log":      {func(i *models.LogInfo) { *i.SignedTreeHead = strings.Replace(*i.SignedTreeHead, " - ", "/", 1) }, "not of Rekor v1's form", true},
		"HTML for a tree head":     {func(i *models.LogInfo) { *i.SignedTreeHead = "<html>" }, "no blank line", true},
		"a tree twice":             {func(i *models.LogInfo) { i.InactiveShards = append(i.InactiveShards, i.InactiveShards[0]) }, "lists tree 1193050959916656506 twice", false},
		"a frozen shard's size":    {func(i *models.LogInfo) { *i.InactiveShards[0].TreeSize = 6 }, "it has 6 entries, and its signed tree head says 7", false},
		"hundreds of shards":       {func(i *models.LogInfo) { i.InactiveShards = hundreds }, "300 inactive shards", false},
		"a frozen shard's origin":  {func(i *models.LogInfo) { *i.InactiveShards[0].SignedTreeHead = *i.SignedTreeHead }, "is of tree 1193050959916656507", false},
		"no active shard to speak": {func(i *models.LogInfo) { i.TreeID, i.SignedTreeHead = nil, nil }, "not a plain positive number", false},
	} {
		w.lies(func(path string, answer any) any {
			c.edit(answer.(*models.LogInfo))
			return answer
		})
		_, err := w.client(nil).Shards(t.Context())
		var bad *tlog.BadCheckpointError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &bad) != c.bad {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if c.bad && len(bad.Raw) == 0 {
			t.Errorf("%s: without the checkpoint", name)
		}
	}
	for name, raw := range map[string]string{
		"a list": `[]`, "a number for a size": `{"treeSize":"12"}`, "half an object": `{"treeSize":12`, "a negative size": `{"treeSize":-1}`,
		"a name twice": `{"treeSize":12,"treeSize":12}`, "shards that are none": `{"inactiveShards":[7]}`,
	} {
		if _, err := parseV1Shards([]byte(raw), w.keys); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestShardsThatContradictEarlierOnesAreReported has a log that signs whatever it likes.
func TestShardsThatContradictEarlierOnesAreReported(t *testing.T) {
	sizes := func(w *v1World, n int, sizes ...uint64) *V1Shards {
		t.Helper()
		trees := w.trees
		defer func() { w.trees = trees }()
		w.trees = w.trees[:n]
		for i, size := range sizes {
			w.trees[i].shown = size
		}
		raw, err := json.Marshal(w.log())
		if err != nil {
			t.Fatal(err)
		}
		shards, err := parseV1Shards(raw, w.keys)
		if err != nil {
			t.Fatal(err)
		}
		return shards
	}
	w, other := newV1World(t, 20, 20, 20), newV1World(t, 20, 20, 20)
	other.key, other.signer, other.keys = w.key, w.signer, w.keys
	other.add([]byte("what the other does not have"))
	other.trees[1].bodies[0] = []byte("changed")
	other.trees[1].tree = rebuilt(other.trees[1].bodies)
	swapped := newV1World(t, 20, 20, 20)
	swapped.key, swapped.signer, swapped.keys = w.key, w.signer, w.keys
	swapped.trees[0], swapped.trees[1] = swapped.trees[1], swapped.trees[0]
	for name, c := range map[string]struct {
		earlier, later *V1Shards
		want           string
	}{
		"the same":                        {sizes(w, 2, 9, 8), sizes(w, 2, 9, 8), ""},
		"grown":                           {sizes(w, 2, 9, 8), sizes(w, 2, 9, 12), ""},
		"a replica that lags":             {sizes(w, 2, 9, 8), sizes(w, 2, 9, 3), ""},
		"rotated":                         {sizes(w, 2, 9, 8), sizes(w, 3, 9, 12, 1), ""},
		"a replica that has not rotated":  {sizes(w, 3, 9, 12, 1), sizes(w, 2, 9, 8), ""},
		"rotated, and frozen below":       {sizes(w, 2, 9, 8), sizes(w, 3, 9, 7, 1), "was seen with 8 entries, and is frozen at 7"},
		"frozen, and seen above":          {sizes(w, 3, 9, 7, 1), sizes(w, 2, 9, 8), "was seen with 8 entries, and is frozen at 7"},
		"a frozen shard that grew":        {sizes(w, 2, 9, 8), sizes(w, 2, 10, 8), "9 entries in one list and 10 in the other"},
		"a frozen shard that shrank":      {sizes(w, 3, 9, 8, 1), sizes(w, 3, 9, 7, 1), "8 entries in one list and 7 in the other"},
		"shards in another order":         {sizes(w, 3, 9, 8, 1), sizes(swapped, 3, 9, 8, 1), "shard 0 is tree"},
		"another tree of the same size":   {sizes(w, 2, 9, 8), sizes(other, 2, 9, 8), "of size 8 has root"},
		"another frozen tree":             {sizes(w, 3, 9, 8, 1), sizes(other, 3, 9, 8, 1), "of size 8 has root"},
		"frozen to another tree's root":   {sizes(w, 2, 9, 8), sizes(other, 3, 9, 8, 1), "of size 8 has root"},
		"only one shard, which is frozen": {sizes(w, 3, 9, 8, 1), sizes(w, 1, 10), "was seen with 10 entries, and is frozen at 9"},
	} {
		err := c.later.Follows(c.earlier)
		var contradiction *V1ShardsError
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.As(err, &contradiction) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		case c.want != "" && (contradiction.Earlier != c.earlier || contradiction.Later != c.later):
			t.Errorf("%s: the error has other lists", name)
		}
	}
}

func TestALogIsHeldToTheShardsInTheRecord(t *testing.T) {
	w := newV1World(t, 7, 12)
	earlier, err := w.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.trees[0].shown = 6
	var contradiction *V1ShardsError
	if _, err := w.client(earlier).Shards(t.Context()); !errors.As(err, &contradiction) {
		t.Errorf("by the record: %v", err)
	}
	if _, err := w.Shards(t.Context()); !errors.As(err, &contradiction) {
		t.Errorf("by what this client saw: %v", err)
	}
	// What was contradictory is not what the next answer is held to.
	w.trees[0].shown = 7
	if _, err := w.Shards(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestV1LogsThatCannotBeReadAreRefused(t *testing.T) {
	w := newV1World(t, 1)
	good := w.o
	for name, edit := range map[string]func(*V1Options){
		"no URL": func(o *V1Options) { o.URL = "" }, "a query": func(o *V1Options) { o.URL += "?a=b" },
		"no key": func(o *V1Options) { o.Keys = nil }, "no client": func(o *V1Options) { o.Fetch = nil },
		"a key that is none": func(o *V1Options) { o.Keys = append(o.Keys, "key") },
	} {
		o := good
		edit(&o)
		if _, err := NewV1Log(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, url := range []string{w.url, w.url + "/", w.url + "/api/v1", w.url + "/api/v1/"} {
		o := good
		o.URL = url
		l, err := NewV1Log(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Shards(t.Context()); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	// A key that signs for some shards only, and an origin that is not known beforehand.
	o := good
	o.Host, o.Keys = "", append(v1Keys(&newV1Key(t).PublicKey), good.Keys...)
	l, err := NewV1Log(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Shards(t.Context()); err != nil {
		t.Error(err)
	}
}
