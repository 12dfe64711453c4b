// Checks logs with the reference implementation, golang.org/x/mod/sumdb, and makes notes and proofs of its own for them.
//
// Standard input: a list of orders. Standard output: a list of answers, in their order. The exit code is 1, and the
// reason on standard error, when anything of ours is not what the reference implementation says.
package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Order names a log directory (C2SP tlog-tiles) and brings proofs that were made of it.
type Order struct {
	Dir         string
	Vkey        string
	Origin      string
	Inclusion   []Inclusion
	Consistency []Consistency
}

// Inclusion is a proof that an entry is in the tree of the checkpoint.
type Inclusion struct {
	Index  int64       `json:"index"`
	Hashes []tlog.Hash `json:"hashes"`
}

// Consistency is a proof that the tree of the checkpoint begins with an older one.
type Consistency struct {
	From     int64       `json:"from"`
	FromRoot tlog.Hash   `json:"fromRoot"`
	Hashes   []tlog.Hash `json:"hashes"`
}

// Answer is what this program made of the log by itself.
type Answer struct {
	Size        int64         `json:"size"`
	Root        tlog.Hash     `json:"root"`
	Entries     int           `json:"entries"`
	Inclusion   []Inclusion   `json:"inclusion"`
	Consistency []Consistency `json:"consistency"`
	Vkey        string        `json:"vkey"`
	Note        string        `json:"note"`
}

func main() {
	var orders []Order
	must(json.NewDecoder(os.Stdin).Decode(&orders))
	var answers []Answer
	for _, order := range orders {
		answer, err := check(order)
		if err != nil {
			fail(fmt.Errorf("%s: %w", order.Dir, err))
		}
		answers = append(answers, answer)
	}
	must(json.NewEncoder(os.Stdout).Encode(answers))
}

func check(order Order) (Answer, error) {
	var answer Answer
	tree, err := openHead(order)
	if err != nil {
		return answer, err
	}
	answer.Size, answer.Root = tree.N, tree.Hash
	if answer.Vkey, answer.Note, err = signAgain(order.Origin, tree); err != nil {
		return answer, err
	}
	// This version has no word about the root of an empty tree.
	if tree.N == 0 {
		return answer, nil
	}
	reader := tlog.TileHashReader(tree, &tiles{order.Dir})
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil || root != tree.Hash {
		return answer, fmt.Errorf("the tiles have the root %v: %v", root, err)
	}
	leaves, err := readEntries(order.Dir, tree.N, reader)
	if err != nil {
		return answer, err
	}
	answer.Entries = len(leaves)
	for _, theirs := range order.Inclusion {
		err := tlog.CheckRecord(theirs.Hashes, tree.N, tree.Hash, theirs.Index, leaves[theirs.Index])
		if err != nil {
			return answer, fmt.Errorf("inclusion of %d in %d: %w", theirs.Index, tree.N, err)
		}
		made, err := tlog.ProveRecord(tree.N, theirs.Index, reader)
		if err != nil {
			return answer, err
		}
		answer.Inclusion = append(answer.Inclusion, Inclusion{theirs.Index, made})
	}
	for _, theirs := range order.Consistency {
		err := tlog.CheckTree(theirs.Hashes, tree.N, tree.Hash, theirs.From, theirs.FromRoot)
		if err != nil {
			return answer, fmt.Errorf("consistency from %d to %d: %w", theirs.From, tree.N, err)
		}
		older, err := tlog.TreeHash(theirs.From, reader)
		if err != nil {
			return answer, err
		}
		made, err := tlog.ProveTree(tree.N, theirs.From, reader)
		if err != nil {
			return answer, err
		}
		answer.Consistency = append(answer.Consistency, Consistency{theirs.From, older, made})
	}
	return answer, nil
}

// openHead opens the checkpoint. The reference parser knows one origin only, so that line is exchanged before.
func openHead(order Order) (tlog.Tree, error) {
	message, err := os.ReadFile(filepath.Join(order.Dir, "checkpoint"))
	if err != nil {
		return tlog.Tree{}, err
	}
	verifier, err := note.NewVerifier(order.Vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(message, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	rest := strings.TrimPrefix(opened.Text, order.Origin+"\n")
	if rest == opened.Text || strings.Count(rest, "\n") != 2 {
		return tlog.Tree{}, fmt.Errorf("unexpected checkpoint %q", opened.Text)
	}
	return tlog.ParseTree([]byte("go.sum database tree\n" + rest))
}

func signAgain(origin string, tree tlog.Tree) (vkey string, signed string, err error) {
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return "", "", err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return "", "", err
	}
	text := fmt.Sprintf("%s\n%d\n%v\n", origin, tree.N, tree.Hash)
	message, err := note.Sign(&note.Note{Text: text}, signer)
	return vkey, string(message), err
}

// readEntries compares every entry of the bundles with the authenticated leaf hash in the tiles.
func readEntries(dir string, size int64, reader tlog.HashReader) ([]tlog.Hash, error) {
	var leaves []tlog.Hash
	for start := int64(0); start < size; start += 256 {
		width := size - start
		if width > 256 {
			width = 256
		}
		bundle, err := os.ReadFile(tilePath(dir, "entries", start/256, int(width)))
		if err != nil {
			return nil, err
		}
		indexes := make([]int64, width)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, start+int64(i))
		}
		hashes, err := reader.ReadHashes(indexes)
		if err != nil {
			return nil, err
		}
		for i := int64(0); i < width; i++ {
			if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("the bundle of entry %d ends too early", start+i)
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			if tlog.RecordHash(bundle[2:end]) != hashes[i] {
				return nil, fmt.Errorf("entry %d has another hash in its tile", start+i)
			}
			bundle = bundle[end:]
		}
		if len(bundle) != 0 {
			return nil, fmt.Errorf("the bundle from entry %d on has %d bytes too many", start, len(bundle))
		}
		leaves = append(leaves, hashes...)
	}
	return leaves, nil
}

// tiles reads the hash tiles of a directory.
type tiles struct{ dir string }

func (t *tiles) Height() int { return 8 }

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range wanted {
		bytes, err := os.ReadFile(tilePath(t.dir, fmt.Sprint(tile.L), tile.N, tile.W))
		if err != nil {
			return nil, err
		}
		data = append(data, bytes)
	}
	return data, nil
}

func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// tilePath is the reference's path for a tile of height 8 without the height, which C2SP tlog-tiles leaves out.
func tilePath(dir string, level string, n int64, width int) string {
	path := tlog.Tile{H: 8, L: 0, N: n, W: width}.Path()
	return filepath.Join(dir, strings.Replace(path, "tile/8/0/", "tile/"+level+"/", 1))
}

func must(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
