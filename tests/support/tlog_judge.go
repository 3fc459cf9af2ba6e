// A judge of tiled logs who knows nothing of hubwire: golang.org/x/mod/sumdb, the code that checks what `go get` fetches.
//
//	tlog_judge DIRECTORY VERIFIER-KEY
//
// The directory has a checkpoint, tiles and bundles; *.tlog-proof files, and a file "consistency" with a line
// "old-size old-root new-size new-root hash…" for each proof. All has to hold, and to be what x/mod makes by itself.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func must(holds bool, what string, arguments ...interface{}) {
	if !holds {
		check(fmt.Errorf(what, arguments...))
	}
}

func hash(text string) (found tlog.Hash) {
	content, err := base64.StdEncoding.DecodeString(text)
	check(err)
	must(len(content) == len(found), "%q is no hash", text)
	copy(found[:], content)
	return found
}

func number(text string) int64 {
	found, err := strconv.ParseInt(text, 10, 64)
	check(err)
	return found
}

// open checks a checkpoint's signature, and returns what it says.
func open(content []byte, verifiers note.Verifiers) tlog.Tree {
	opened, err := note.Open(content, verifiers)
	check(err)
	lines := strings.Split(opened.Text, "\n")
	must(len(lines) >= 4 && lines[0] == opened.Sigs[0].Name, "the checkpoint is of %q", lines[0])
	return tlog.Tree{N: number(lines[1]), Hash: hash(lines[2])}
}

// tiles reads tiles below a directory. C2SP's paths are those of x/mod without the height, which is always 8.
type tiles struct{ directory string }

func (tiles tiles) Height() int { return 8 }

func (tiles tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		content, err := os.ReadFile(tiles.path(tile))
		if err != nil {
			return nil, err
		}
		found = append(found, content)
	}
	return found, nil
}

func (tiles tiles) path(tile tlog.Tile) string {
	return filepath.Join(tiles.directory, "tile", strings.TrimPrefix(tile.Path(), "tile/8/"))
}

func (tiles tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// records reads all bundles.
func records(directory string, size int64) (found [][]byte) {
	for at := int64(0); at < size; at += 256 {
		width := size - at
		if width > 256 {
			width = 256
		}
		path := tlog.Tile{H: 8, L: 0, N: at / 256, W: int(width)}.Path()
		content, err := os.ReadFile(filepath.Join(directory, "tile", "entries", strings.TrimPrefix(path, "tile/8/0/")))
		check(err)
		for len(content) > 0 {
			end := 2 + int(binary.BigEndian.Uint16(content))
			found = append(found, content[2:end])
			content = content[end:]
		}
	}
	return found
}

// grown computes the tree from the records alone.
func grown(lines [][]byte) tlog.HashReader {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for at, index := range indexes {
			found[at] = stored[index]
		}
		return found, nil
	})
	for at, line := range lines {
		hashes, err := tlog.StoredHashes(int64(at), line, reader)
		check(err)
		stored = append(stored, hashes...)
	}
	return reader
}

// prove checks a proof of one record, and compares it with that of x/mod.
func prove(file string, lines [][]byte, reader tlog.HashReader, verifiers note.Verifiers) {
	content, err := os.ReadFile(file)
	check(err)
	parts := bytes.SplitN(content, []byte("\n\n"), 2)
	must(len(parts) == 2, "%s has no empty line", file)
	head := strings.Split(string(parts[0]), "\n")
	must(head[0] == "c2sp.org/tlog-proof@v1", "%s begins with %q", file, head[0])
	head = head[1:]
	if strings.HasPrefix(head[0], "extra ") {
		head = head[1:]
	}
	index := number(strings.TrimPrefix(head[0], "index "))
	var proof tlog.RecordProof
	for _, line := range head[1:] {
		proof = append(proof, hash(line))
	}
	tree := open(parts[1], verifiers)
	check(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(lines[index])))
	own, err := tlog.ProveRecord(tree.N, index, reader)
	check(err)
	must(len(own) == len(proof) && (len(own) == 0 || reflect.DeepEqual(own, proof)), "%s is another proof", file)
}

// goOn checks proofs that one tree goes on from another, and compares them with those of x/mod.
func goOn(file string, reader tlog.HashReader) (count int) {
	content, err := os.ReadFile(file)
	check(err)
	for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		var proof tlog.TreeProof
		for _, word := range words[4:] {
			proof = append(proof, hash(word))
		}
		old, size := number(words[0]), number(words[2])
		check(tlog.CheckTree(proof, size, hash(words[3]), old, hash(words[1])))
		own, err := tlog.ProveTree(size, old, reader)
		check(err)
		must(len(own) == len(proof) && (len(own) == 0 || reflect.DeepEqual(own, proof)), "%s: another proof", line)
		count++
	}
	return count
}

func main() {
	directory := os.Args[1]
	verifier, err := note.NewVerifier(os.Args[2])
	check(err)
	verifiers := note.VerifierList(verifier)
	content, err := os.ReadFile(filepath.Join(directory, "checkpoint"))
	check(err)
	tree := open(content, verifiers)
	if tree.N == 0 {
		must(tree.Hash == sha256.Sum256(nil), "the root of no records is another one")
		fmt.Println("ok 0 0 0")
		return
	}
	lines := records(directory, tree.N)
	must(int64(len(lines)) == tree.N, "there are %d records, and the checkpoint speaks of %d", len(lines), tree.N)
	reader := grown(lines)
	root, err := tlog.TreeHash(tree.N, reader)
	check(err)
	must(root == tree.Hash, "the root over the records is another one")

	// Each tile is checked against the signed root before a hash of it is believed.
	kept := tiles{directory}
	checked := tlog.TileHashReader(tree, kept)
	for _, tile := range tlog.NewTiles(8, 0, tree.N) {
		if tile.W < 256 && int64(tile.W) != tree.N>>(8*uint(tile.L))%256 {
			continue // of a size before
		}
		own, err := tlog.ReadTileData(tile, reader)
		check(err)
		found, err := os.ReadFile(kept.path(tile))
		check(err)
		must(bytes.Equal(own, found), "the tile %s is another one", kept.path(tile))
		_, err = tlog.ReadTileData(tile, checked)
		check(err)
	}
	proofs, err := filepath.Glob(filepath.Join(directory, "*.tlog-proof"))
	check(err)
	for _, file := range proofs {
		prove(file, lines, reader, verifiers)
	}
	fmt.Println("ok", tree.N, len(proofs), goOn(filepath.Join(directory, "consistency"), reader))
}
