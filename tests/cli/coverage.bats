#!/usr/bin/env bats
# docs/model_coverage.mdx brought up to date: one model's lines and no others.
load common

setup() { project; run_of_llama; }

run_of_llama() {
	"${M[@]}" -s MODEL=llama-3.1-8b PHASES=0,1,2,3 onboard 2>/dev/null
	R=tmp/run/llama-3.1-8b
	printf '{"tp":[1,2],"ep":[1],"page_sizes":[1,64]}' | B needed -c $R/config.json --serving - -o possible.json
	cat >page.mdx <<'EOF'
## Summary

| Model | Architecture | Coverage |
|-------|-------------|:--------:|
| Other 1B | GQA + Dense | 🟡 Partial |
| Llama 3.1 8B | GQA + Dense | ❌ Not covered |

---

## Other 1B

| Definition | Op Type | Status |
|-----------|---------|:------:|
| `rmsnorm_h4096` | rmsnorm | ❌ |

**Coverage**: 0 / 1 definitions present. Words.

---

## Llama 3.1 8B

| Definition | Op Type | Status |
|-----------|---------|:------:|
| `rmsnorm_h4096` | rmsnorm | ❌ |
| `gemm_n6144_k4096` | gemm | ❌ |
| `gemm_n1_k2` | gemm | ❌ |
| Something else | moe | — |

**Coverage**: 7 / 9 definitions present. Stale words.

---
EOF
}
cov() { B coverage --run $R --index tmp/index/flashinfer_trace.json --possible possible.json --report r.json -o "$2" --page "$1" 2>err; }

@test "rows, counts and summary of one model; no other line moves; a second run changes nothing" {
	cov page.mdx one.mdx
	diff page.mdx one.mdx >d || true
	! grep -q 'Other\|Words\|0 / 1' d
	grep -qF '> | Llama 3.1 8B | GQA + Dense | 🟡 Partial |' d
	grep -qF '| `rmsnorm_h4096` | rmsnorm | ✅ |' one.mdx
	grep -qF '| `silu_and_mul_h28672` | activation | 🟡 |' one.mdx
	# gemm rows stand with the other gemm rows
	sed -n '/^## Llama/,$p' one.mdx | grep -n '^| `gemm_n' | cut -d: -f1 >at
	[ $(($(tail -1 at) - $(head -1 at) + 1)) -eq "$(wc -l <at)" ]
	n=$(sed -n '/^## Llama/,$p' one.mdx | grep -c '^| `')
	grep -q "^\*\*Coverage\*\*: $((n - 1)) / $n definitions present. Missing: \`gemm_n1_k2\`" one.mdx
	cov one.mdx two.mdx
	cmp one.mdx two.mdx
	jq -e '.changed == []' r.json
}

@test "a row that contradicts the config is reported and left" {
	cov page.mdx one.mdx
	grep -qF 'gemm_n1_k2' one.mdx
	jq -e '[.contradictions[].row] | index("gemm_n1_k2") and (index("rmsnorm_h4096") | not)' r.json
	grep -q 'page.mdx:26: gemm_n1_k2: the config does not give this name' err
}

@test "a status is never lowered" {
	sed -i 's/`gemm_n6144_k4096` | gemm | ❌/`gemm_n6144_k4096` | gemm | ✅/; s/`rmsnorm_h4096` | rmsnorm | ❌/`rmsnorm_h4096` | rmsnorm | ✅/' page.mdx
	sed -i 's/"gemm_n6144_k4096": {/"gone": {/' tmp/index/flashinfer_trace.json
	cov page.mdx one.mdx
	grep -qF '| `gemm_n6144_k4096` | gemm | ✅ |' one.mdx
}

@test "a model without a section gets one" {
	sed -i 's/Llama 3.1 8B/Llama 9 8B/' page.mdx
	cov page.mdx one.mdx
	head -n "$(wc -l <page.mdx)" one.mdx | diff page.mdx - | grep '^[<>]' >d || true
	[ "$(grep -c '^<' d)" -le 1 ]
	grep -qi '^## .*Llama-3.1-8B' one.mdx
	cov one.mdx two.mdx
	cmp one.mdx two.mdx
}

@test "a page that is none is refused" {
	echo hello >x.mdx
	run cov x.mdx y.mdx
	[ "$status" -eq 1 ] && [ ! -e y.mdx ]
	grep -q "x.mdx" err
}

@test "the real page: the model's lines only, and idempotent" {
	upstream
	for m in qwen3-8b mixtral-8x7b deepseek-v3 gpt-oss-120b; do
		"${M[@]}" -s SOURCE=git "UPSTREAM=$UP" CONFIG="$ONBOARD_SHARED/models/$m.json" MODEL=$m coverage >"$m.diff" 2>/dev/null
		[ -s "$m.diff" ]
		B coverage --run tmp/run/$m --index tmp/index/flashinfer_trace.json --possible tmp/run/$m/possible.json \
			--page tmp/run/$m/coverage.mdx -o again.mdx 2>/dev/null
		cmp again.mdx tmp/run/$m/coverage.mdx
	done
	jq -e '[.contradictions[].row] | index("gemm_n44032_k4096") and index("gemm_n4096_k22016")' tmp/run/qwen3-8b/coverage.json
	[ "$(grep -c '^-[^-]' gpt-oss-120b.diff)" -eq 0 ]
}

@test "the number of an issue stands in the definition's description" {
	mkdir -p tmp/run/x/url
	jq -n '{attn_type_list: [0, 1], hidden_size: 512, num_attention_heads: 4, vocab_size: 1000, intermediate_size: 512, rms_norm_eps: 1e-6}' >c.json
	"${M[@]}" -s MODEL=x CONFIG=c.json onboard 2>/dev/null
	echo https://github.com/flashinfer-ai/flashinfer/issues/999 >tmp/run/x/url/lightning_attn_decode_h4_d128.issue
	"${M[@]}" -s MODEL=x CONFIG=c.json onboard 2>/dev/null
	for d in tmp/flashinfer-trace tmp/outbox/x/lightning_attn_decode_h4_d128/dataset; do
		jq -e '.description | endswith("See flashinfer-ai/flashinfer#999 for kernel implementation request.")' \
			$d/definitions/lightning_attn/lightning_attn_decode_h4_d128.json
	done
	jq -e '.kernels[] | select(.definition_name == "lightning_attn_decode_h4_d128") | .fi_issue_url | endswith("/999")' tmp/onboard_x_*.json
}

@test "an API without a trace template: upstream's request lies in the outbox" {
	n=$(jq -r '[.kernels[] | select(.phase1_status == "new" and .fi_trace_template == false)][0].definition_name // empty' $R/kernels.json)
	jq '.kernels[0].fi_trace_template = false | .kernels[0].phase1_status = "new" | .kernels[0].fi_api = "flashinfer.x.y" | .kernels |= .[:1]' $R/kernels.json >k.json
	mkdir -p rr && cp $R/*.json rr && cp k.json rr/kernels.json
	n=$(jq -r '.kernels[0].definition_name' k.json)
	jq -n --arg n "$n" '{definitions: [{definition_name: $n, result: "written"}]}' >rr/definitions.json
	B mkpr --stage=issues --run=rr --repos=tmp/repos.json --index=tmp/index --outbox=ob -o o.json
	[ "$(cat "ob/$n/trace-template/TITLE")" = "trace: add @flashinfer_api(trace=...) for flashinfer.x.y" ]
	grep -q '^`flashinfer.x.y` already has a working FlashInfer kernel but no' "ob/$n/trace-template/BODY.md"
}
