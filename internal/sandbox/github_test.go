package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// storePage is GitHub's answer about a digest.
type storePage struct {
	Attestations []struct {
		RepositoryID int64           `json:"repository_id"`
		Bundle       json.RawMessage `json:"bundle"`
		BundleURL    string          `json:"bundle_url"`
	} `json:"attestations"`
}

func getStore(t *testing.T, url string) (*http.Response, storePage) {
	t.Helper()
	response, body := get(t, url)
	var page storePage
	if response.StatusCode == http.StatusOK {
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
	}
	return response, page
}

func TestStoreHasOneProvenanceForAllFilesOfARelease(t *testing.T) {
	w := startedWorld(t)
	if err := OnnxLike(w); err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{}
	for _, filename := range releaseFiles("1.22.0") {
		sum := w.PyPI.SHA256(onnxProject, filename)
		_, page := getStore(t, w.GitHub.URL()+"/repos/onnx/onnx/attestations/sha256:"+sum+"?per_page=100")
		if len(page.Attestations) != 1 || page.Attestations[0].RepositoryID != 102692863 || string(page.Attestations[0].Bundle) != "null" {
			t.Fatalf("%s: %+v", filename, page)
		}
		response, block := get(t, page.Attestations[0].BundleURL)
		raw, err := snappy.Decode(nil, []byte(block))
		if err != nil || response.Header.Get("Content-Type") != "application/x-snappy" {
			t.Fatalf("%s: %s, %v", filename, response.Header.Get("Content-Type"), err)
		}
		var b bundle.Bundle
		if err := b.UnmarshalJSON(raw); err != nil {
			t.Fatal(err)
		}
		if err := newJudge(t, w).verify(&b, sum); err != nil {
			t.Errorf("%s: %v", filename, err)
		}
		digests[digestOf(raw)] = filename
	}
	if len(digests) != 1 {
		t.Errorf("%d bundles for one release", len(digests))
	}
	for path, want := range map[string]int{
		"/repos/onnx/onnx/attestations/sha256:" + w.PyPI.SHA256(onnxProject, "onnx-1.18.0.tar.gz"): 404, "/repos/onnx/onnx/attestations/sha256:00": 422,
		"/repos/onnx/onnx/attestations/md5:00": 422, "/repos/stranger/onnx/attestations/sha256:" + strings.Repeat("0", 64): 404, "/repos/onnx/onnx": 200, "/repos/stranger/onnx": 404,
	} {
		if response, _ := get(t, w.GitHub.URL()+path); response.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
		}
	}
}

func TestBundlesAreServedToSignedAddressesWithoutAToken(t *testing.T) {
	w := startedWorld(t)
	w.GitHub.SetRepository(GitHubRepository{Name: "a/b", ID: 1, OwnerID: 2})
	sum := strings.Repeat("a", 64)
	if err := w.GitHub.Publish("a/b", []byte(`{}`), sum); err != nil {
		t.Fatal(err)
	}
	_, page := getStore(t, w.GitHub.URL()+"/repos/a/b/attestations/sha256:"+sum)
	address := page.Attestations[0].BundleURL
	bare, _, _ := strings.Cut(address, "?")
	for name, c := range map[string]struct {
		address string
		headers []string
		want    int
	}{
		"signed":       {address, nil, 200},
		"not signed":   {bare, nil, 403},
		"with a token": {address, []string{"Authorization", "Bearer x"}, 403},
	} {
		if response, _ := get(t, c.address, c.headers...); response.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", name, response.StatusCode, c.want)
		}
	}
}

func TestStoreComesInPagesAndWithALimit(t *testing.T) {
	w := startedWorld(t)
	w.GitHub.SetRepository(GitHubRepository{Name: "a/b", ID: 1, OwnerID: 2})
	w.GitHub.PageBy(2)
	w.GitHub.Inline()
	sum := strings.Repeat("a", 64)
	for _, b := range []string{`{"n":1}`, `{"n":2}`, `{"n":3}`} {
		if err := w.GitHub.Publish("a/b", []byte(b), sum); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for next := w.GitHub.URL() + "/repos/a/b/attestations/sha256:" + sum; next != ""; {
		response, page := getStore(t, next)
		for _, a := range page.Attestations {
			got = append(got, string(a.Bundle))
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(response.Header.Get("Link"), "<"), ">")
	}
	if diff := cmp.Diff([]string{`{"n":1}`, `{"n":2}`, `{"n":3}`}, got); diff != "" {
		t.Error(diff)
	}
	w.GitHub.Limit(1, w.Now().Add(time.Hour))
	for _, want := range []int{200, 403} {
		response, _ := get(t, w.GitHub.URL()+"/repos/a/b")
		if response.StatusCode != want || response.Header.Get("X-RateLimit-Remaining") != "0" {
			t.Errorf("%d with %v", response.StatusCode, response.Header)
		}
	}
}

// TestGitHubsOwnInstanceVerifiesWithItsOwnRootAlone holds what it signs against sigstore-go.
func TestGitHubsOwnInstanceVerifiesWithItsOwnRootAlone(t *testing.T) {
	w := newWorld(t)
	own, err := w.GitHub.TrustedRootJSON()
	if err != nil {
		t.Fatal(err)
	}
	sum := strings.Repeat("a", 64)
	statement, err := SLSAStatement(ReleaseClaims("1.23.0"), Subject{"a.whl", sum})
	if err != nil {
		t.Fatal(err)
	}
	provenance, err := w.GitHub.AttestUnlogged(ReleaseClaims("1.23.0"), CertificateOptions{}, statement)
	if err != nil {
		t.Fatal(err)
	}
	release, err := w.GitHub.AttestRelease(w.Now(), "onnx/onnx", "v1.23.0", Subject{"a.whl", sum})
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]*Attestation{"provenance": provenance, "release": release} {
		for whose, trusted := range map[string][]byte{"its own": own, "the public one's": w.TrustedRootJSON()} {
			material, err := root.NewTrustedRootFromJSON(trusted)
			if err != nil {
				t.Fatal(err)
			}
			v, err := verify.NewVerifier(material, verify.WithSignedTimestamps(1))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := a.Bundle()
			if err != nil {
				t.Fatal(err)
			}
			var b bundle.Bundle
			if err := b.UnmarshalJSON(raw); err != nil {
				t.Fatal(err)
			}
			_, err = v.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest("sha256", bytes.Repeat([]byte{0xaa}, 32)), verify.WithoutIdentitiesUnsafe()))
			if (err == nil) != (whose == "its own") {
				t.Errorf("%s with %s root: %v", name, whose, err)
			}
		}
	}
}
