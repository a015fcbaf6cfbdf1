// What aws-iam-authenticator makes of EKS tokens: a line of JSON in, a line of JSON out. STS is not asked: whatever
// passes the rules is sent nowhere, and what would have been sent is what the answer says.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"

	"sigs.k8s.io/aws-iam-authenticator/pkg/token"
)

type question struct {
	Token     string `json:"token"`
	Cluster   string `json:"cluster"`
	Partition string `json:"partition"`
	Region    string `json:"region"`
}

type answer struct {
	Host   string `json:"host"`
	Header string `json:"header"`
	Key    string `json:"key"`
	Error  string `json:"error"`
}

const identity = `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"111122223333",` +
	`"Arn":"arn:aws:iam::111122223333:user/somebody","UserId":"AIDAEXAMPLE"}}}`

// sts stands where STS would be asked.
type sts struct{ asked *http.Request }

func (s *sts) RoundTrip(request *http.Request) (*http.Response, error) {
	s.asked = request
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{},
		Body:       io.NopCloser(strings.NewReader(identity)),
		Request:    request,
	}, nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			os.Exit(2)
		}
		stand := &sts{}
		http.DefaultTransport = stand
		found, err := token.NewVerifier(asked.Cluster, asked.Partition, asked.Region).Verify(asked.Token)
		said := answer{}
		if err != nil {
			said.Error = err.Error()
		} else {
			said.Key = found.AccessKeyID
		}
		if stand.asked != nil {
			said.Host = stand.asked.URL.Host
			said.Header = stand.asked.Header.Get("x-k8s-aws-id")
		}
		if err := answers.Encode(said); err != nil {
			os.Exit(2)
		}
	}
}
