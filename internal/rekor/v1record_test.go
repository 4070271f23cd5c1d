package rekor

import (
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// TestShardsComeBackFromTheirCheckpoints makes lists of shards, well and ill.
func TestShardsComeBackFromTheirCheckpoints(t *testing.T) {
	cp := func(origin string, size uint64) tlog.SignedCheckpoint {
		return tlog.SignedCheckpoint{Origin: origin, Size: size}
	}
	shards, err := ShardsOf([]tlog.SignedCheckpoint{cp("rekor.example - 5", 10), cp("rekor.example - 9007199254740993", 7), cp("rekor.example - 3", 2)})
	if err != nil {
		t.Fatal(err)
	}
	if shards.Size() != 19 || shards.Active().TreeID != 3 || shards.Active().Offset != 17 || shards.Shards[1].TreeID != 9007199254740993 || shards.Shards[1].Offset != 10 {
		t.Errorf("%+v", shards)
	}
	for says, list := range map[string][]tlog.SignedCheckpoint{
		"a log has a shard":                     nil,
		"no shard of a Rekor v1 log":            {cp("log.example", 1)},
		"tree 5 is there twice":                 {cp("rekor.example - 5", 1), cp("rekor.example - 5", 1)},
		"more entries than there can be":        {cp("rekor.example - 5", 1<<53-1), cp("rekor.example - 6", 1)},
		`"rekor.example - 05" is no shard`:      {cp("rekor.example - 05", 1)},
		`"rekor.example - -5" is no shard of a`: {cp("rekor.example - -5", 1)},
	} {
		if _, err := ShardsOf(list); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// TestSubjectAndDigestAreWhatTheIndexHasAnEntryBy reads bodies that have both, or lack one.
func TestSubjectAndDigestAreWhatTheIndexHasAnEntryBy(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON": "{", "an unknown kind": `{"apiVersion":"0.0.9","kind":"futurerekord","spec":{}}`, "empty": "",
	} {
		if subject, digest, ok := SubjectAndDigest([]byte(body)); ok || subject+digest != "" {
			t.Errorf("%s: %q %q", name, subject, digest)
		}
	}
}
