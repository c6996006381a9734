"""Revisions are appended, never changed; a chunk is live from its `born` to its `died` sequence
number, so the text of any moment can be told exactly.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from pgvector.django import HalfVectorField, SparseVectorField

from apps.context.types import EntryKind, SpaceKind
from octavo.kernel import ids


class Space(models.Model):
    """`seq` counts the transactions that changed the space; its row is their lock."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation_id = models.UUIDField()
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="+")
    name = models.TextField()
    kind = models.TextField(default=SpaceKind.TEXT)
    seq = models.BigIntegerField(default=0)
    entry_count = models.IntegerField(default=0)
    chunk_count = models.IntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "space"
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="space_name_once"),
        ]


class Entry(models.Model):
    """One key of a space. `head_number` is the newest revision, which may be a deletion."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    space = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="entries")
    key = models.TextField()
    kind = models.TextField(default=EntryKind.DOCUMENT)
    head_number = models.IntegerField(default=0)
    is_deleted = models.BooleanField(default=False)

    class Meta:
        db_table = "entry"
        constraints = [models.UniqueConstraint(fields=["space", "key"], name="entry_key_once")]
        indexes = [
            models.Index(
                fields=["space", "key"],
                opclasses=["uuid_ops", "text_pattern_ops"],
                name="entry_key_prefix",
            ),
        ]


class Revision(models.Model):
    """`chunks[i]` begins at character `starts[i]`; their texts joined are the revision's text.

    `source_hash` is the SHA-256 of the file it was read from, so that an unchanged file is known
    without being parsed.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="revisions")
    number = models.IntegerField()
    seq = models.BigIntegerField()
    operation = models.TextField()
    author_kind = models.TextField()
    author_id = models.UUIDField()
    author_name = models.TextField()
    run_id = models.UUIDField(null=True)
    step = models.TextField(default="")
    why = models.TextField()
    metadata = models.JSONField(default=dict)
    trust = models.TextField()
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
        indexes = [models.Index(fields=["entry", "-seq"], name="revision_as_of")]


class Blob(models.Model):
    """The text of a chunk and the headings above it, kept once per organisation."""

    pk = models.CompositePrimaryKey("organisation_id", "hash")
    organisation_id = models.UUIDField()
    hash = models.BinaryField()
    heading = models.TextField()
    text = models.TextField()

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
    which makes the inverted index blind to other tenants. Its indexes are in migration 0002.
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
        indexes = [models.Index(fields=["run_id", "step"], name="read_log_run")]


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
