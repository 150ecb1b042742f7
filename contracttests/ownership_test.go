package contracttests_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// customerless returns the positions of calls of Workloads.Get with an empty customer. Such a call
// finds nothing. Code that reads workloads of any customer must call GetAny.
func customerless(file *ast.File) []token.Pos {
	var found []token.Pos
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 3 {
			return true
		}
		sel, method := call.Fun.(*ast.SelectorExpr)
		customer, literal := call.Args[1].(*ast.BasicLit)
		if method && sel.Sel.Name == "Get" && literal && customer.Value == `""` {
			found = append(found, call.Pos())
		}
		return true
	})
	return found
}

func TestWorkloads_OfAnyCustomer_AreReadByGetAny(t *testing.T) {
	planted, err := parser.ParseFile(token.NewFileSet(), "x.go",
		`package x; func f() { s.Workloads.Get(ctx, "", id); s.Workloads.Get(ctx, c, id) }`, 0)
	require.NoError(t, err)
	require.Len(t, customerless(planted), 1, "the check sees what it looks for")
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, pos := range customerless(f) {
			assert.Fail(t, "an empty customer owns nothing; GetAny is for the control plane",
				files.Position(pos).String())
		}
		return nil
	})
	require.NoError(t, err)
}
