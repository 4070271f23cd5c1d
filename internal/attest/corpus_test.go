package attest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// specimen is one signed thing in the collection of real data.
type specimen struct {
	// name is the file's path in the collection, with "#n" where it holds several.
	name string
	kind string
	raw  []byte
}

// specimens returns every PEP 740 attestation and every Sigstore bundle in a folder, however the file wraps it: alone, one
// a line, in a provenance document, or in an API's answer.
func specimens(t testing.TB, dir, folder string) []specimen {
	t.Helper()
	var all []specimen
	err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		found := specimensIn(readFile(t, path))
		for i := range found {
			found[i].name = rel
			if len(found) > 1 {
				found[i].name = fmt.Sprintf("%s#%d", rel, i)
			}
		}
		all = append(all, found...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func specimensIn(file []byte) []specimen {
	var found []specimen
	for _, doc := range documents(file) {
		found = append(found, walk(doc)...)
	}
	return found
}

// documents splits a file into JSON documents: one, or one a line.
func documents(file []byte) [][]byte {
	if json.Valid(file) {
		return [][]byte{file}
	}
	var docs [][]byte
	for line := range bytes.Lines(file) {
		if json.Valid(line) {
			docs = append(docs, line)
		}
	}
	return docs
}

func walk(doc []byte) []specimen {
	var object map[string]json.RawMessage
	var array []json.RawMessage
	var found []specimen
	switch {
	case json.Unmarshal(doc, &object) == nil:
		_, media := object["mediaType"]
		_, material := object["verificationMaterial"]
		if media && (material || object["dsseEnvelope"] != nil) {
			return []specimen{{kind: KindBundle, raw: doc}}
		}
		if object["verification_material"] != nil {
			return []specimen{{kind: KindAttestation, raw: doc}}
		}
		for _, key := range []string{"attestation_bundles", "attestations", "bundle"} {
			found = append(found, walk(object[key])...)
		}
	case json.Unmarshal(doc, &array) == nil:
		for _, item := range array {
			found = append(found, walk(item)...)
		}
	}
	return found
}

// stated returns the artifact that a specimen itself says it is about: the first subject, or the message digest. It
// stands in where the collection lacks the file, and tests everything but that the file is the one.
func (s specimen) stated() Artifact {
	var a Artifact
	payload := []byte(nil)
	if s.kind == KindAttestation {
		var obj attestationObject
		if json.Unmarshal(s.raw, &obj) == nil {
			payload = obj.Envelope.Statement
		}
	} else {
		b := new(protobundle.Bundle)
		if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(s.raw, b) != nil {
			return Artifact{SHA256: strings.Repeat("0", 64)}
		}
		if md := b.GetMessageSignature().GetMessageDigest(); md != nil {
			a.set(messageAlgorithms[md.GetAlgorithm()].name, hex.EncodeToString(md.GetDigest()))
		}
		payload = b.GetDsseEnvelope().GetPayload()
	}
	if st, err := parseStatement(payload); err == nil && len(st.Subjects) > 0 {
		for alg, digest := range st.Subjects[0].Digest {
			a.set(alg, digest)
		}
		a.Name = st.Subjects[0].Name
	}
	if a.SHA256 == "" {
		a.SHA256 = strings.Repeat("0", 64)
	}
	return a
}

func (a *Artifact) set(algorithm, digest string) {
	switch algorithm {
	case algSHA256:
		a.SHA256 = digest
	case algSHA384:
		a.SHA384 = digest
	case algSHA512:
		a.SHA512 = digest
	}
}
