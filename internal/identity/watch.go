package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Watched is one project's names.
type Watched struct {
	Project string
	// Repository is "OWNER/NAME" on GitHub, and RepositoryID its numeric id, which it keeps when it gets another name; "" if
	// that is not known.
	Repository   string
	RepositoryID string
	// Owners are owners on GitHub, all of whose repositories are watched.
	Owners []string
	// Emails are addresses of people who may sign by hand.
	Emails []string
	// Keys are hex SHA-256 fingerprints of SubjectPublicKeyInfos.
	Keys []string
}

// WatchList finds watched names in raw certificates. It decides what to look at, never what is true. It is safe for
// concurrent use, and its cost does not depend on how many names are watched.
type WatchList struct {
	// names maps lower-case "owner/name", and what resembles it, to who watches it.
	names  map[string]watchedName
	ids    map[string]watchedName // by numeric id
	owners map[string]string      // lower-case owner to project
	emails map[string]string      // lower-case address to project
	keys   map[[sha256.Size]byte]string
	hash   string
}

type watchedName struct {
	project    string
	repository string // as configured
	lookalike  bool
}

// maxName is the longest "owner/name" on GitHub: 39 and 100 characters.
const maxName = 39 + 1 + 100

// NewWatchList builds a watch list. Repositories that are not "OWNER/NAME", ids that are no numbers, addresses without
// an "@", owners with a "/", and fingerprints that are not 64 hex digits, are errors.
func NewWatchList(watched []Watched) (*WatchList, error) {
	w := &WatchList{names: map[string]watchedName{}, ids: map[string]watchedName{}, owners: map[string]string{}, emails: map[string]string{}, keys: map[[sha256.Size]byte]string{}}
	var canonical []string
	for _, x := range watched {
		owner, name, ok := strings.Cut(x.Repository, "/")
		if !ok || owner == "" || name == "" || strings.Contains(name, "/") || len(x.Repository) > maxName {
			return nil, fmt.Errorf("watch list: %q is not OWNER/NAME", x.Repository)
		}
		w.names[asciiLower(x.Repository)] = watchedName{x.Project, x.Repository, false}
		canonical = append(canonical, "repository "+asciiLower(x.Repository))
		if x.RepositoryID != "" {
			if !isDecimal(x.RepositoryID) {
				return nil, fmt.Errorf("watch list: %q is not the numeric id of a repository", x.RepositoryID)
			}
			w.ids[x.RepositoryID] = watchedName{x.Project, x.Repository, false}
			canonical = append(canonical, "id "+x.RepositoryID)
		}
		for _, owner := range x.Owners {
			if owner == "" || strings.Contains(owner, "/") {
				return nil, fmt.Errorf("watch list: %q is not an owner of repositories", owner)
			}
			w.owners[asciiLower(owner)] = x.Project
			canonical = append(canonical, "owner "+asciiLower(owner))
		}
		for _, address := range x.Emails {
			if !strings.Contains(address, "@") {
				return nil, fmt.Errorf("watch list: %q is not an e-mail address", address)
			}
			w.emails[asciiLower(address)] = x.Project
			canonical = append(canonical, "email "+asciiLower(address))
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
		for _, variant := range resembling(asciiLower(x.Repository)) {
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

// MatchDER reports whether a certificate, or a TBSCertificate, has to do with a watched name or key. It may find too much,
// and never too little: what [WatchList.Classify] makes something of, it finds. Any other bytes it takes for text.
//
// Nearly all certificates are those of GitHub Actions, in the one shape that Fulcio gives them: these cost a walk over their
// values, a lookup for each that may be watched, and no allocation. Whatever has another shape takes the slow path,
// over all text in it.
func (w *WatchList) MatchDER(der []byte) bool {
	matched, canonical := w.matchCanonical(der)
	if matched || canonical {
		return matched
	}
	return w.matchKeys(der) || w.matchValues(der, maxNesting) || w.matchText(der)
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
