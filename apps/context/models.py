"""Revisions are appended, never changed; a chunk is live from its `born` to its `died` sequence
number, so the text of any moment can be told exactly.
"""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now
from pgvector.django import HalfVectorField, SparseVectorField

from apps.context.types import EntryKind, SpaceKind
from octavo.kernel import ids


class Space(models.Model):
    """`seq` counts the transactions that changed the space; its row is their lock.

    A branch reads what it has not changed from `parent` as of `base_seq`; once merged it is closed.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation_id = models.UUIDField()
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="+")
    name = models.TextField()
    kind = models.TextField(default=SpaceKind.TEXT)
    seq = models.BigIntegerField(default=0)
    entry_count = models.IntegerField(default=0)
    chunk_count = models.IntegerField(default=0)
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="+")
    base_seq = models.BigIntegerField(null=True)
    merged_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "space"
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="space_name_once"),
        ]


class Entry(models.Model):
    """One key of a space. `head_number` is the newest revision, which may be a deletion; in a
    branch the numbers go on from the parent's. `expires_at` is that of the head.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    space = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="entries")
    key = models.TextField()
    kind = models.TextField(default=EntryKind.DOCUMENT)
    head_number = models.IntegerField(default=0)
    is_deleted = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "entry"
        constraints = [models.UniqueConstraint(fields=["space", "key"], name="entry_key_once")]
        indexes = [
            models.Index(
                fields=["space", "key"],
                opclasses=["uuid_ops", "text_pattern_ops"],
                name="entry_key_prefix",
            ),
            models.Index(
                fields=["expires_at"],
                name="entry_expiring",
                condition=models.Q(expires_at__isnull=False, is_deleted=False),
            ),
        ]


class Revision(models.Model):
    """`chunks[i]` begins at character `starts[i]`; their texts joined are the revision's text.

    `source_hash` is the SHA-256 of the file it was read from, so that an unchanged file is known
    without being parsed. `restores` is the number of the revision whose text a rollback brought
    back. `valid_from` and `valid_to` are times of the world, not of the store.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    space = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="+", db_index=False)
    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="revisions")
    number = models.IntegerField()
    seq = models.BigIntegerField()
    operation = models.TextField()
    restores = models.IntegerField(null=True)
    kind = models.TextField(default=EntryKind.DOCUMENT)
    author_kind = models.TextField()
    author_id = models.UUIDField()
    author_name = models.TextField()
    run_id = models.UUIDField(null=True)
    step = models.TextField(default="")
    why = models.TextField()
    metadata = models.JSONField(default=dict)
    trust = models.TextField()
    sources = models.JSONField(default=list)
    valid_from = models.DateTimeField(null=True)
    valid_to = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    text_hash = models.BinaryField()
    source_hash = models.BinaryField(null=True)
    length = models.IntegerField()
    chunks = ArrayField(models.BigIntegerField())
    starts = ArrayField(models.IntegerField())
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "revision"
        constraints = [
            models.UniqueConstraint(fields=["entry", "number"], name="revision_number_once"),
        ]
        indexes = [
            models.Index(fields=["entry", "-seq"], name="revision_as_of"),
            models.Index(fields=["space", "seq"], name="revision_space_seq"),
            models.Index(fields=["space", "created_at", "seq"], name="revision_space_time"),
            GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="revision_metadata"),
        ]


class Snapshot(models.Model):
    """A name for a sequence number of a space."""

    space = models.ForeignKey(
        Space, on_delete=models.CASCADE, related_name="snapshots", db_index=False
    )
    name = models.TextField()
    seq = models.BigIntegerField()
    author_name = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "snapshot"
        constraints = [models.UniqueConstraint(fields=["space", "name"], name="snapshot_name_once")]


class Blob(models.Model):
    """The text of a chunk, the headings above it and, in a dialogue, the turns around it; kept once
    per organisation.
    """

    pk = models.CompositePrimaryKey("organisation_id", "hash")
    organisation_id = models.UUIDField()
    hash = models.BinaryField()
    heading = models.TextField()
    text = models.TextField()
    context = models.TextField(default="", db_default="")

    class Meta:
        db_table = "blob"


class Embedding(models.Model):
    """What one model made of one blob, computed once."""

    pk = models.CompositePrimaryKey("organisation_id", "hash", "model_id")
    organisation_id = models.UUIDField()
    hash = models.BinaryField()
    model_id = models.UUIDField()
    emb = HalfVectorField()

    class Meta:
        db_table = "embedding"


class Chunk(models.Model):
    """The search row. `bm` holds BM25 term weights, `terms` the same terms hashed with the space,
    which makes the inverted index blind to other tenants; both know the turns next to an entry that
    is one turn (see `turns`). `metadata` is that of the entry's head while the chunk lives; an
    index has their values, hashed with the space too. The indexes are in the migrations 0002, 0005
    and 0006.
    """

    space = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="+")
    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="+")
    hash = models.BinaryField()
    born = models.BigIntegerField()
    died = models.BigIntegerField(null=True)
    model_id = models.UUIDField(null=True)
    dimensions = models.SmallIntegerField(null=True)
    emb = HalfVectorField(null=True)
    bm = SparseVectorField()
    terms = ArrayField(models.IntegerField())
    metadata = models.JSONField(default=dict, db_default={})

    class Meta:
        db_table = "chunk"


class Lexicon(models.Model):
    """How many chunks of a space were counted, and how many changed since."""

    space = models.OneToOneField(
        Space, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    chunks = models.IntegerField(default=0)
    changed = models.IntegerField(default=0)

    class Meta:
        db_table = "lexicon"


class LexiconTerm(models.Model):
    """In how many chunks of the space the term occurs, where it is more than one."""

    pk = models.CompositePrimaryKey("space_id", "term")
    space = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="+")
    term = models.IntegerField()
    df = models.IntegerField()

    class Meta:
        db_table = "lexicon_term"


class ReadLog(models.Model):
    """Which run was shown which revision, in which order. Survives the erasure of what was read."""

    run_id = models.UUIDField()
    step = models.TextField()
    space_id = models.UUIDField()
    entry_id = models.UUIDField()
    revision = models.IntegerField()
    chunk_id = models.BigIntegerField()
    rank = models.SmallIntegerField()
    score = models.FloatField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "read_log"
        indexes = [
            models.Index(fields=["run_id", "step"], name="read_log_run"),
            models.Index(fields=["entry_id", "-id"], name="read_log_entry"),
        ]


class IngestJob(models.Model):
    """Uploaded files on their way into a space, for the principal that sent them.

    `touched_at` is when a worker last showed that it holds the job, or a hint was sent for it;
    `lost` counts workers that went away with it since a file had its report.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    space = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="+")
    team_id = models.UUIDField()
    principal_kind = models.TextField()
    principal_id = models.UUIDField()
    principal_name = models.TextField()
    status = models.TextField(default="queued")
    attempts = models.IntegerField(default=0)
    lost = models.SmallIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    touched_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "ingest_job"
        indexes = [
            models.Index(
                fields=["touched_at"],
                name="ingest_job_open",
                condition=models.Q(finished_at__isnull=True),
            )
        ]


class IngestFile(models.Model):
    """`payload` is dropped as soon as the file has its report."""

    job = models.ForeignKey(IngestJob, on_delete=models.CASCADE, related_name="files")
    name = models.TextField()
    payload = models.BinaryField(null=True)
    status = models.TextField(default="")
    detail = models.TextField(default="")
    chunks = models.IntegerField(default=0)
    embedded = models.IntegerField(default=0)

    class Meta:
        db_table = "ingest_file"
        indexes = [models.Index(fields=["job", "id"], name="ingest_file_order")]
