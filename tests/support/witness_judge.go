// A judge of cosignatures, and a witness, that know nothing of hubwire: of golang.org/x/mod/sumdb, and C2SP's words.
//
//	witness_judge open LOG-KEY WITNESS-KEY < checkpoint     prints the names that have signed, and the time of the witness
//	witness_judge serve NAME SEED-HEX LOG-KEY               prints its verifier key and its URL, and is a witness there
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func keyHash(name string, key []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n\x04"), key...))
	return binary.BigEndian.Uint32(sum[:])
}

// cosigner is a key of type 4, as https://c2sp.org/tlog-cosignature has it.
type cosigner struct {
	name   string
	public ed25519.PublicKey
	secret ed25519.PrivateKey
	seen   uint64
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return keyHash(c.name, c.public) }

func message(seconds uint64, text []byte) []byte {
	return append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", seconds)), text...)
}

func (c *cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 72 {
		return false
	}
	c.seen = binary.BigEndian.Uint64(signature)
	return ed25519.Verify(c.public, message(c.seen, text), signature[8:])
}

func (c *cosigner) Sign(text []byte) ([]byte, error) {
	seconds := uint64(time.Now().Unix())
	made := binary.BigEndian.AppendUint64(nil, seconds)
	return append(made, ed25519.Sign(c.secret, message(seconds, text))...), nil
}

func parseCosigner(vkey string) *cosigner {
	parts := strings.SplitN(strings.TrimSpace(vkey), "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	check(err)
	if len(key) != 33 || key[0] != 4 || parts[1] != fmt.Sprintf("%08x", keyHash(parts[0], key[1:])) {
		check(errors.New("no key of a witness"))
	}
	return &cosigner{name: parts[0], public: key[1:]}
}

type witness struct {
	sync.Mutex
	cosigner *cosigner
	log      note.Verifier
	tree     tlog.Tree
}

func parse(body []byte) (old int64, proof tlog.TreeProof, signed []byte, err error) {
	head, rest, found := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || !strings.HasPrefix(lines[0], "old ") {
		return 0, nil, nil, errors.New("no request")
	}
	if old, err = strconv.ParseInt(lines[0][4:], 10, 64); err != nil {
		return 0, nil, nil, err
	}
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return 0, nil, nil, err
		}
		proof = append(proof, hash)
	}
	return old, proof, rest, nil
}

func (w *witness) answer(body []byte) (int, string) {
	w.Lock()
	defer w.Unlock()
	old, proof, signed, err := parse(body)
	if err != nil {
		return 400, err.Error()
	}
	opened, err := note.Open(signed, note.VerifierList(w.log))
	if err != nil {
		return 403, err.Error()
	}
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	if old != w.tree.N || (old == size && root != w.tree.Hash && old != 0) {
		return 409, fmt.Sprintf("%d\n", w.tree.N)
	}
	if old > 0 && old < size {
		if err := tlog.CheckTree(proof, size, root, old, w.tree.Hash); err != nil {
			return 422, err.Error()
		}
	}
	w.tree = tlog.Tree{N: size, Hash: root}
	cosigned, err := note.Sign(&note.Note{Text: opened.Text}, w.cosigner)
	check(err)
	return 200, string(cosigned[len(opened.Text)+1:])
}

func (w *witness) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	if in.Method != "POST" || in.URL.Path != "/add-checkpoint" {
		out.WriteHeader(404)
		return
	}
	body, err := io.ReadAll(in.Body)
	check(err)
	status, text := w.answer(body)
	if status == 409 {
		out.Header().Set("Content-Type", "text/x.tlog.size")
	}
	out.WriteHeader(status)
	io.WriteString(out, text)
}

func main() {
	switch os.Args[1] {
	case "open":
		log, err := note.NewVerifier(os.Args[2])
		check(err)
		cosigner := parseCosigner(os.Args[3])
		content, err := io.ReadAll(os.Stdin)
		check(err)
		opened, err := note.Open(content, note.VerifierList(log, cosigner))
		check(err)
		for _, each := range opened.Sigs {
			fmt.Println(each.Name)
		}
		fmt.Println(cosigner.seen, len(opened.UnverifiedSigs))
	case "serve":
		seed, err := hex.DecodeString(os.Args[3])
		check(err)
		secret := ed25519.NewKeyFromSeed(seed)
		public := secret.Public().(ed25519.PublicKey)
		log, err := note.NewVerifier(os.Args[4])
		check(err)
		key := &cosigner{name: os.Args[2], public: public, secret: secret}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		encoded := base64.StdEncoding.EncodeToString(append([]byte{4}, public...))
		fmt.Printf("%s+%08x+%s\nhttp://%s\n", key.name, key.KeyHash(), encoded, listener.Addr())
		check(http.Serve(listener, &witness{cosigner: key, log: log}))
	}
}
