"""What Intel's tools write as text.

unitrace  READER of unitrace's device timeline and summaries (timeline, summary)
advisor   READER of Advisor's survey with FLOPs, as CSV
vtune     READER of VTune's reports, as CSV
columns   tables of both
"""
