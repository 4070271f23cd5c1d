package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Watched is one project's names.
type Watched struct {
	Project string
	// Repository is "OWNER/NAME" on GitHub.
	Repository string
	// Emails are addresses of people who may sign by hand.
	Emails []string
	// Keys are hex SHA-256 fingerprints of SubjectPublicKeyInfos.
	Keys []string
}

// WatchClass says what an identity has to do with a watched name.
type WatchClass string

// The classes of watched identities.
const (
	WatchSelf       WatchClass = "self"           // signer and source are the repository
	WatchSigner     WatchClass = "signer"         // a workflow of the repository, another source
	WatchSource     WatchClass = "source"         // the repository's source, another's workflow
	WatchThirdParty WatchClass = "third-party-ci" // another issuer's certificate mentions the repository
	WatchLookalike  WatchClass = "look-alike"     // resembles the name and is not it
	WatchEmail      WatchClass = "e-mail"         // a watched address
	WatchKey        WatchClass = "key"            // a watched key
	WatchNothing    WatchClass = ""               // nothing
)

// WatchList finds watched names in raw certificates. It decides what to look at, never what is true. It is safe for
// concurrent use, and its cost does not depend on how many names are watched.
type WatchList struct {
	// names maps lower-case "owner/name", and what resembles it, to who watches it.
	names  map[string]watchedName
	emails map[string]string // lower-case address to project
	keys   map[[sha256.Size]byte]string
	hash   string
}

type watchedName struct {
	project    string
	repository string // as configured
	lookalike  bool
}

// derSequence is the tag of a SEQUENCE.
const derSequence = 0x30

// maxName is the longest "owner/name" on GitHub: 39 and 100 characters.
const maxName = 39 + 1 + 100

// NewWatchList builds a watch list. Repositories that are not "OWNER/NAME", and fingerprints that are not 64 hex digits,
// are errors.
func NewWatchList(watched []Watched) (*WatchList, error) {
	w := &WatchList{names: map[string]watchedName{}, emails: map[string]string{}, keys: map[[sha256.Size]byte]string{}}
	var canonical []string
	for _, x := range watched {
		owner, name, ok := strings.Cut(x.Repository, "/")
		if !ok || owner == "" || name == "" || strings.Contains(name, "/") || len(x.Repository) > maxName {
			return nil, fmt.Errorf("watch list: %q is not OWNER/NAME", x.Repository)
		}
		w.names[lowerASCII(x.Repository)] = watchedName{x.Project, x.Repository, false}
		canonical = append(canonical, "repository "+lowerASCII(x.Repository))
		for _, address := range x.Emails {
			w.emails[lowerASCII(address)] = x.Project
			canonical = append(canonical, "email "+lowerASCII(address))
		}
		for _, key := range x.Keys {
			raw, err := hex.DecodeString(key)
			if err != nil || len(raw) != sha256.Size {
				return nil, fmt.Errorf("watch list: %q is not the hex SHA-256 of a key", key)
			}
			w.keys[[sha256.Size]byte(raw)] = x.Project
			canonical = append(canonical, "key "+strings.ToLower(key))
		}
	}
	for _, x := range watched {
		for _, variant := range resembling(lowerASCII(x.Repository)) {
			if _, taken := w.names[variant]; !taken {
				w.names[variant] = watchedName{x.Project, x.Repository, true}
			}
		}
	}
	slices.Sort(canonical)
	sum := sha256.Sum256([]byte("rekoncile watch list 1\n" + strings.Join(slices.Compact(canonical), "\n")))
	w.hash = hex.EncodeToString(sum[:])
	return w, nil
}

// Hash names the list: two lists that watch the same have the same.
func (w *WatchList) Hash() string { return w.hash }

// MatchKey reports whether a key is watched.
func (w *WatchList) MatchKey(spki []byte) bool {
	_, ok := w.Key(spki)
	return ok
}

// Key finds the project that watches a key.
func (w *WatchList) Key(spki []byte) (project string, ok bool) {
	if len(w.keys) == 0 {
		return "", false
	}
	project, ok = w.keys[sha256.Sum256(spki)]
	return project, ok
}

var (
	githubHost  = []byte("github.com/")
	gitSuffix   = []byte(".git")
	actionsHost = []byte("token.actions.githubusercontent.com")
	// repositoryOID is the DER of 1.3.6.1.4.1.57264.1.5, the repository in certificates of before 2023.
	repositoryOID = []byte{0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x05}
)

// MatchDER reports whether a certificate, or a TBSCertificate, has to do with a watched name or key.
//
// Nearly all certificates are GitHub's: their issuer stands in them, and GitHub writes names in one way, behind
// "github.com/". Whatever has another issuer takes the slow path, over all text in it.
func (w *WatchList) MatchDER(der []byte) bool {
	if len(w.keys) > 0 && w.matchKeyIn(der) {
		return true
	}
	if bytes.Contains(der, actionsHost) {
		return w.matchCanonical(der)
	}
	return w.matchCanonical(der) || w.matchText(der)
}

// matchCanonical looks up what follows each "github.com/", and the name that stands alone in extension .5.
func (w *WatchList) matchCanonical(der []byte) bool {
	if i := bytes.Index(der, repositoryOID); i >= 0 {
		// What follows the OID is an OCTET STRING: its tag and its length, which is short for a name.
		if value := der[i+len(repositoryOID):]; len(value) > 2 && w.matchName(value[2:]) {
			return true
		}
	}
	for {
		i := bytes.Index(der, githubHost)
		if i < 0 {
			return false
		}
		der = der[i+len(githubHost):]
		if w.matchName(der) {
			return true
		}
	}
}

// matchName looks up the "owner/name" that a text begins with, without allocating.
func (w *WatchList) matchName(text []byte) bool {
	var buf [maxName]byte
	n, slash := 0, -1
	for n < len(text) && n < maxName {
		c := text[n]
		if c == '/' {
			if slash >= 0 {
				break
			}
			slash = n
		} else if !nameByte(c) {
			break
		}
		buf[n] = lowerByte(c)
		n++
	}
	if slash <= 0 || slash == n-1 {
		return false
	}
	// A DER string ends where it ends: the tag after it, and a length, may pass for letters of the name. And
	// "name.git" is the repository too.
	for end := n; end > slash+1 && end >= n-2; end-- {
		name := buf[:end]
		if _, ok := w.names[string(name)]; ok {
			return true
		}
		if short, ok := bytes.CutSuffix(name, gitSuffix); ok {
			if _, ok := w.names[string(short)]; ok {
				return true
			}
		}
	}
	return false
}

// matchKeyIn looks for a watched SubjectPublicKeyInfo: the sequences of a certificate whose length fits one.
func (w *WatchList) matchKeyIn(der []byte) bool {
	for i := 0; i+4 < len(der); i++ {
		if der[i] != derSequence {
			continue
		}
		length, header := int(der[i+1]), 2
		switch {
		case length == 0x81:
			length, header = int(der[i+2]), 3
		case length == 0x82:
			length, header = int(der[i+2])<<8|int(der[i+3]), 4
		case length > 0x7f:
			continue
		}
		// The smallest key is Ed25519's, 44 bytes; inside, a key begins with its algorithm, a sequence.
		if length < 40 || i+header+length > len(der) || der[i+header] != derSequence {
			continue
		}
		if w.MatchKey(der[i : i+header+length]) {
			return true
		}
	}
	return false
}

// nameByte reports whether a byte may stand in a GitHub owner's or repository's name.
func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// lowerASCII folds ASCII case alone: GitHub's names have no other.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
