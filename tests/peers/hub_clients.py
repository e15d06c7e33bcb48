"""The rehearsal hub against real clients: huggingface_hub, PyGithub and git. Speaks TAP; HUB is its program."""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HUB = os.path.abspath(sys.argv[1])
work = Path(tempfile.mkdtemp())
os.environ.update(HF_HUB_DISABLE_XET="1", HF_HOME=str(work / "hf"), HF_HUB_DISABLE_PROGRESS_BARS="1")
subprocess.Popen([HUB, "--root", str(work / "root"), "--port-file", str(work / "port"), "--token", "secret=octo", "--token",
                  "boss=boss", "--writer", "boss", "--github", "up/repo", "--hub", "up/data", "--part-size", "1000", "--seconds", "300"])
for _ in range(100):
    if (work / "port").exists():
        break
    time.sleep(0.05)
URL = f"http://127.0.0.1:{(work / 'port').read_text().strip()}"
os.environ["HF_ENDPOINT"] = URL
from github import Auth, Github, GithubException
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

n = 0


def t(name, fn):
    global n
    n += 1
    try:
        fn()
        print(f"ok {n} hub: {name}")
    except Exception as e:
        print(f"not ok {n} hub: {name}\n# {type(e).__name__}: {e}".replace("\n\n", "\n# "))


hf = HfApi(token="secret")
small, large = os.urandom(700), os.urandom(4321)


def create_pr():
    r = hf.create_commit("up/data", repo_type="dataset", create_pr=True, commit_message="Add x", commit_description="body <!-- m -->",
                         operations=[CommitOperationAdd("definitions/a/x.json", b'{"a": 1}'), CommitOperationAdd("blob/s.safetensors", small),
                                     CommitOperationAdd("blob/l.safetensors", large)])
    assert r.pr_num == 1 and r.pr_revision == "refs/pr/1", r


def download():
    for path, want in (("definitions/a/x.json", b'{"a": 1}'), ("blob/s.safetensors", small), ("blob/l.safetensors", large)):
        got = hf_hub_download("up/data", path, repo_type="dataset", revision="refs/pr/1", token="secret")
        assert Path(got).read_bytes() == want, path


def follow_up():
    hf.create_commit("up/data", repo_type="dataset", revision="refs/pr/1", commit_message="more", operations=[
        CommitOperationAdd("definitions/a/x.json", b'{"a": 2}'), CommitOperationDelete("blob/s.safetensors")])
    assert hf.get_paths_info("up/data", ["definitions/a/x.json", "blob/s.safetensors"], repo_type="dataset", revision="refs/pr/1")[0].size == 8
    assert len(hf.get_paths_info("up/data", ["blob/s.safetensors"], repo_type="dataset", revision="refs/pr/1")) == 0
    info = hf.get_paths_info("up/data", ["blob/l.safetensors"], repo_type="dataset", revision="refs/pr/1")[0]
    assert info.lfs.size == len(large), info


def discussions():
    d = list(hf.get_repo_discussions("up/data", repo_type="dataset", discussion_type="pull_request", author="octo"))
    assert len(d) == 1 and d[0].title == "Add x" and d[0].status == "open", d
    details = hf.get_discussion_details("up/data", 1, repo_type="dataset")
    assert details.events[0].content == "body <!-- m -->"
    hf.edit_discussion_comment("up/data", 1, details.events[0].id, new_content="new", repo_type="dataset")
    hf.rename_discussion("up/data", 1, new_title="Add y", repo_type="dataset")
    details = hf.get_discussion_details("up/data", 1, repo_type="dataset")
    assert details.events[0].content == "new" and details.title == "Add y"
    hf.comment_discussion("up/data", 1, comment="hello", repo_type="dataset")


def refused():
    for api, fn in ((HfApi(token="wrong"), lambda a: a.whoami()), (hf, lambda a: a.create_commit(
            "up/data", repo_type="dataset", commit_message="to main", operations=[CommitOperationAdd("a", b"b")]))):
        try:
            fn(api)
        except HfHubHTTPError as e:
            assert e.response.status_code in (401, 403), e
        else:
            raise AssertionError("it was let through")
    try:
        hf.get_repo_discussions("up/none", repo_type="dataset").__next__()
    except RepositoryNotFoundError:
        pass


def clone():
    subprocess.run(["git", "-c", "protocol.file.allow=always", "clone", "-q", str(work / "root/hub/up/data.git"), str(work / "clone")], check=True)
    subprocess.run(["git", "-C", str(work / "clone"), "fetch", "-q", "origin", "refs/pr/1"], check=True)
    out = subprocess.run(["git", "-C", str(work / "clone"), "show", "FETCH_HEAD:blob/l.safetensors"], check=True, capture_output=True).stdout
    assert out.startswith(b"version https://git-lfs") and b"size 4321" in out


gh = Github(auth=Auth.Token("secret"), base_url=URL + "/github")


def github_pull():
    assert gh.get_user().login == "octo"
    base = gh.get_repo("up/repo")
    assert not base.permissions.push and base.default_branch == "main"
    fork = base.create_fork()
    assert fork.full_name == "octo/repo"
    head = fork.get_git_ref("heads/main").object.sha
    blob = fork.create_git_blob("hello\n", "utf-8")
    from github import InputGitTreeElement
    tree = fork.create_git_tree([InputGitTreeElement("docs/a.md", "100644", "blob", sha=blob.sha)], fork.get_git_commit(head).tree)
    c = fork.create_git_commit("docs: add a", tree, [fork.get_git_commit(head)])
    fork.create_git_ref("refs/heads/feat/a", c.sha)
    p = base.create_pull(title="docs: add a", body="b <!-- m -->", head="octo:feat/a", base="main")
    assert p.number == 1 and [f.filename for f in p.get_files()] == ["docs/a.md"]
    assert [x.number for x in base.get_pulls(head="octo:feat/a", state="all")] == [1]
    p.edit(body="c")
    assert base.get_pull(1).body == "c"
    try:
        base.create_pull(title="again", body="", head="octo:feat/a", base="main")
    except GithubException as e:
        assert e.status == 422
    else:
        raise AssertionError("a second pull was opened")
    assert fork.get_contents("docs/a.md", ref="feat/a").decoded_content == b"hello\n"


def github_issue():
    base = gh.get_repo("up/repo")
    i = base.create_issue("Kernel request", body="x", labels=["enhancement", "kernel-request"])
    assert [lb.name for lb in i.labels] == ["enhancement", "kernel-request"]
    i.edit(body="y")
    assert [x.body for x in base.get_issues(creator="octo", state="all") if not x.pull_request] == ["y"]


def github_git():
    subprocess.run(["git", "-c", "protocol.file.allow=always", "clone", "-q", "-b", "feat/a", str(work / "root/github/octo/repo.git"),
                    str(work / "fork")], check=True)
    assert (work / "fork/docs/a.md").read_text() == "hello\n"


def merge():
    boss = Github(auth=Auth.Token("boss"), base_url=URL + "/github")
    try:
        gh.get_repo("up/repo").get_pull(1).merge()
    except GithubException as e:
        assert e.status == 403
    assert boss.get_repo("up/repo").get_pull(1).merge().merged
    assert gh.get_repo("up/repo").get_pull(1).merged


t("huggingface_hub creates a pull request with plain, LFS and multipart files", create_pr)
t("hf_hub_download gives the same bytes", download)
t("a follow-up commit to refs/pr/1", follow_up)
t("discussions are listed, read, edited and renamed", discussions)
t("a wrong token, a commit to main and a missing repository are refused", refused)
t("git clones the dataset and finds LFS pointers", clone)
t("PyGithub forks, commits and opens a pull request, once", github_pull)
t("PyGithub opens and edits an issue with labels", github_issue)
t("git clones the fork", github_git)
t("PyGithub merges, who may", merge)
print(f"1..{n}")
