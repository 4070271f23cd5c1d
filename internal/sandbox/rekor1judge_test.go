package sandbox

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-openapi/strfmt"
	"github.com/sigstore/rekor/pkg/client"
	rekorclient "github.com/sigstore/rekor/pkg/generated/client"
	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/client/index"
	"github.com/sigstore/rekor/pkg/generated/client/tlog"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/util"
	rekorverify "github.com/sigstore/rekor/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"
)

// rekorReader reads a log with Rekor's own client, holds what comes against Rekor's own models, and verifies it with Rekor's
// own verifier. What that does not look at (the log's arithmetic of indices) it checks by itself.
type rekorReader struct {
	client   *rekorclient.Rekor
	verifier signature.Verifier
}

func newRekorReader(t *testing.T, r *Rekor, options ...client.Option) rekorReader {
	t.Helper()
	v, err := signature.LoadVerifier(&r.key.PublicKey, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.GetRekorClient(r.URL(), append(options, client.WithRetryCount(0))...)
	if err != nil {
		t.Fatal(err)
	}
	return rekorReader{c, v}
}

// info is the log's answer of itself, its checkpoints verified.
func (r rekorReader) info(ctx context.Context) (*models.LogInfo, map[string]*util.SignedCheckpoint, error) {
	answer, err := r.client.Tlog.GetLogInfoContext(ctx, tlog.NewGetLogInfoParams())
	if err != nil {
		return nil, nil, err
	}
	info := answer.Payload
	if err := info.Validate(strfmt.Default); err != nil {
		return nil, nil, err
	}
	checkpoints := map[string]*util.SignedCheckpoint{}
	add := func(id, note, root string, size int64) error {
		var c util.SignedCheckpoint
		if err := c.UnmarshalText([]byte(note)); err != nil {
			return err
		}
		switch {
		case !c.Verify(r.verifier):
			return errors.New("the checkpoint's signature does not verify")
		case c.Origin != "rekor.sandbox.example - "+id || int64(c.Size) != size || fmt.Sprintf("%x", c.Hash) != root:
			return fmt.Errorf("the checkpoint is of %q, size %d: not of tree %s, size %d", c.Origin, c.Size, id, size)
		}
		checkpoints[id] = &c
		return nil
	}
	for _, s := range info.InactiveShards {
		if err := add(*s.TreeID, *s.SignedTreeHead, *s.RootHash, *s.TreeSize); err != nil {
			return nil, nil, err
		}
	}
	return info, checkpoints, add(*info.TreeID, *info.SignedTreeHead, *info.RootHash, *info.TreeSize)
}

// retrieve asks for entries by their global indices, and gives them by these.
func (r rekorReader) retrieve(ctx context.Context, indices ...int64) (map[int64]models.LogEntry, error) {
	query := &models.SearchLogQuery{}
	for _, i := range indices {
		query.LogIndexes = append(query.LogIndexes, &i)
	}
	params := entries.NewSearchLogQueryParams()
	params.SetEntry(query)
	answer, err := r.client.Entries.SearchLogQueryContext(ctx, params)
	if err != nil {
		return nil, err
	}
	out := map[int64]models.LogEntry{}
	for _, one := range answer.Payload {
		if err := one.Validate(strfmt.Default); err != nil {
			return nil, err
		}
		for _, e := range one {
			out[*e.LogIndex] = one
		}
	}
	return out, nil
}

// search asks the index.
func (r rekorReader) search(ctx context.Context, query *models.SearchIndex) ([]string, error) {
	if err := query.Validate(strfmt.Default); err != nil {
		return nil, err
	}
	params := index.NewSearchIndexParams()
	params.SetQuery(query)
	answer, err := r.client.Index.SearchIndexContext(ctx, params)
	if err != nil {
		return nil, err
	}
	return answer.Payload, nil
}

// prove verifies one entry, of a shard whose first has the global index offset, and returns its body.
func (r rekorReader) prove(ctx context.Context, one models.LogEntry, treeID, offset int64) ([]byte, error) {
	if len(one) != 1 {
		return nil, fmt.Errorf("%d entries under one", len(one))
	}
	for uuid, e := range one {
		if err := rekorverify.VerifyLogEntry(ctx, &e, r.verifier); err != nil {
			return nil, err
		}
		body, err := base64.StdEncoding.DecodeString(e.Body.(string))
		if err != nil {
			return nil, err
		}
		if want := fmt.Sprintf("%016x%x", treeID, rfc6962.DefaultHasher.HashLeaf(body)); uuid != want {
			return nil, fmt.Errorf("UUID %s, want %s", uuid, want)
		}
		p := e.Verification.InclusionProof
		if *e.LogIndex != offset+*p.LogIndex {
			return nil, fmt.Errorf("entry %d of the shard has the global index %d", *p.LogIndex, *e.LogIndex)
		}
		var c util.SignedCheckpoint
		if err := c.UnmarshalText([]byte(*p.Checkpoint)); err != nil {
			return nil, err
		}
		if c.Origin != fmt.Sprintf("rekor.sandbox.example - %d", treeID) || int64(c.Size) != *p.TreeSize {
			return nil, fmt.Errorf("the proof's checkpoint is of %q, size %d", c.Origin, c.Size)
		}
		return body, nil
	}
	panic("unreachable")
}

// rekorJudge follows a shard as it follows any log: see follower.
func rekorJudge(r rekorReader, s *RekorShard) follower {
	id := fmt.Sprint(s.TreeID())
	head := func(ctx context.Context) (*util.SignedCheckpoint, error) {
		_, checkpoints, err := r.info(ctx)
		if err != nil {
			return nil, err
		}
		return checkpoints[id], nil
	}
	return follower{
		head: func(ctx context.Context) (uint64, []byte, error) {
			c, err := head(ctx)
			if err != nil {
				return 0, nil, err
			}
			return c.Size, c.Hash, nil
		},
		grew: func(ctx context.Context, size1, size2 uint64, root1, root2 []byte) error {
			one, two := &util.SignedCheckpoint{}, &util.SignedCheckpoint{}
			one.Size, one.Hash, two.Size, two.Hash = size1, root1, size2, root2
			return rekorverify.ProveConsistency(ctx, r.client, one, two, id)
		},
		check: func(ctx context.Context) error {
			c, err := head(ctx)
			if err != nil {
				return err
			}
			var tree merkleTree
			for tree.size() < c.Size {
				var page []int64
				for i := tree.size(); i < min(tree.size()+10, c.Size); i++ {
					page = append(page, s.Offset()+int64(i))
				}
				answer, err := r.retrieve(ctx, page...)
				if err != nil {
					return err
				}
				for _, i := range page {
					body, err := r.prove(ctx, answer[i], s.TreeID(), s.Offset())
					if err != nil {
						return fmt.Errorf("entry %d: %w", i, err)
					}
					tree.append(rfc6962.DefaultHasher.HashLeaf(body))
				}
			}
			root, err := tree.root(c.Size)
			if err == nil && !bytes.Equal(root, c.Hash) {
				err = errors.New("the entries do not hash to the root")
			}
			return err
		},
		page: func(ctx context.Context) (int, error) { return readPage(ctx, s) },
	}
}

// readPage reads entries as a careful client does. Rekor's own reads an answer to its end, however long it is (v1.5.4).
func readPage(ctx context.Context, s *RekorShard) (int, error) {
	query := fmt.Sprintf(`{"logIndexes":[%d,%d]}`, s.Offset(), s.Offset()+1)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"/api/v1/log/entries/retrieve", strings.NewReader(query))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, statusError{response.StatusCode, response.Header.Get("Retry-After")}
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, mostOfAnAnswer))
	if err != nil {
		return 0, err
	}
	if len(raw) == mostOfAnAnswer {
		return 0, errTooLarge
	}
	var answer []models.LogEntry
	err = json.Unmarshal(raw, &answer)
	return len(answer), err
}
