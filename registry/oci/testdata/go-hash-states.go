// Writes go-hash-states.txt: the state of each hash after n bytes, as the Go standard library marshals it.
package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding"
	"fmt"
	"hash"
)

var lengths = []int{0, 1, 3, 55, 56, 63, 64, 65, 111, 112, 119, 127, 128, 129, 191, 192, 255, 256, 1000, 65537}

func main() {
	for _, n := range lengths {
		print("sha256", sha256.New(), n)
		print("sha512", sha512.New(), n)
	}
}

func print(name string, h hash.Hash, n int) {
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(i*7 + i>>8)
	}
	h.Write(content)
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s %d %x\n", name, n, state)
}
