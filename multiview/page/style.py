"""How the page looks: dark on light, on screens of any width and on paper."""

__all__ = ["CSS"]

CSS = """
:root{--ink:#1b2733;--muted:#5d6d7e;--line:#dfe6ec;--soft:#f5f8fa;--accent:#1f6fb2;
--good:#1a7f4b;--look:#a86200;--again:#b3261e}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:#fff;color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue","Noto Sans","DejaVu Sans",sans-serif}
main{max-width:1160px;margin:0 auto;padding:36px 28px 60px}
h1{font-size:30px;line-height:1.2;margin:0;letter-spacing:-.015em;font-weight:650}
h2{font-size:20px;margin:52px 0 4px;letter-spacing:-.01em;font-weight:650}
h3{font-size:15px;margin:0;font-weight:650}
p{margin:6px 0 14px;max-width:78ch}
.sub,.note,figcaption{color:var(--muted)}
.sub{margin:6px 0 0;overflow-wrap:anywhere}
.note{font-size:13.5px}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
nav{margin:16px 0 0;font-size:13.5px;display:flex;gap:6px 18px;flex-wrap:wrap}
.verdict{margin:26px 0 18px;padding:16px 20px;border-radius:10px;border-left:6px solid;display:flex;
gap:4px 18px;align-items:baseline;flex-wrap:wrap}
.verdict strong{font-size:21px;letter-spacing:-.01em}
.verdict.good{background:#eef8f2;border-color:var(--good)}.verdict.good strong{color:var(--good)}
.verdict.look{background:#fdf6e9;border-color:#e09a22}.verdict.look strong{color:var(--look)}
.verdict.again{background:#fdf0ef;border-color:var(--again)}
.verdict.again strong{color:var(--again)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(166px,1fr));gap:12px}
.card{border:1px solid var(--line);border-radius:10px;padding:14px 16px 12px;break-inside:avoid}
.card .label{font-size:13px;color:var(--muted);display:flex;justify-content:space-between;gap:8px;
align-items:flex-start;min-height:2.9em;line-height:1.45}
.card .value{font-size:27px;font-weight:650;letter-spacing:-.02em;margin:2px 0 4px;line-height:1.15;
font-variant-numeric:tabular-nums}
.card .value small{font-size:13px;font-weight:400;color:var(--muted);letter-spacing:0}
.card p{font-size:13px;line-height:1.45;margin:0;color:#3d4c5a}
.pill{display:inline-block;font-size:11.5px;line-height:1.55;font-weight:600;border-radius:99px;
padding:0 9px;white-space:nowrap}
.pill.good{background:#e3f3ea;color:var(--good)}.pill.look{background:#fbeed5;color:var(--look)}
.pill.again{background:#fae1df;color:var(--again)}
ul.todo{padding:0;margin:10px 0 0;list-style:none;columns:2 420px;column-gap:28px}
ul.todo li{break-inside:avoid;padding:5px 0 5px 22px;position:relative}
ul.todo li:before{content:"";position:absolute;left:2px;top:12px;width:9px;height:9px;
border:2px solid var(--accent);border-radius:3px}
.wide{overflow-x:auto;margin:10px 0 0}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th{font-weight:600;color:var(--muted);text-align:right;vertical-align:bottom;line-height:1.3}
th,td{padding:6px 9px;border-bottom:1px solid var(--line)}
td{text-align:right;white-space:nowrap}
th.l,td.l{text-align:left}tr.remark td{text-align:left;white-space:normal;padding-top:0}
tr.above td{border-bottom:0;padding-bottom:2px}
th:first-child,td:first-child{padding-left:0}
tr.alarm td{background:#fffaf0}tr.alarm td:first-child{box-shadow:-8px 0 #fffaf0}
figure{margin:0;min-width:0}
figcaption{font-size:12.5px;line-height:1.4;margin-top:6px}
svg{display:block;width:100%;height:auto;font-family:inherit}
.three{display:grid;grid-template-columns:1.25fr 1fr;gap:18px;align-items:start;margin-top:12px}
.three .pair{display:grid;gap:14px}
.two{display:grid;grid-template-columns:1fr 1fr;gap:26px;align-items:start;margin-top:12px}
.frame{border:1px solid var(--line);border-radius:10px;background:var(--soft);overflow:hidden}
canvas{display:block;width:100%;aspect-ratio:1/1.14;cursor:grab;touch-action:pan-y;outline-offset:-2px}
canvas:active{cursor:grabbing}
.cam{border:1px solid var(--line);border-radius:10px;padding:12px 16px 14px;margin-top:14px;
break-inside:avoid}
.cam header{display:flex;gap:4px 12px;align-items:baseline;flex-wrap:wrap;margin-bottom:8px}
.cam header span.note{margin-left:auto}
.cam .panels{display:grid;grid-template-columns:1.5fr 1.5fr 1fr 1.15fr;gap:16px;align-items:start}
.cam .panels svg{max-height:230px}
.scale{display:inline-flex;align-items:center;gap:6px;font-size:12.5px;color:var(--muted);
white-space:nowrap}
.scale b{display:inline-flex;border:1px solid var(--line);border-radius:3px;overflow:hidden}
.scale i{width:20px;height:11px;display:block}
.keys{display:flex;flex-wrap:wrap;gap:4px 22px;font-size:12.5px;color:var(--muted);margin:2px 0 0}
.keys>span>i{display:inline-block;width:10px;height:10px;border-radius:99px;margin-right:6px}
.keys>span>i.ring{border:2px solid #d9480f;border-radius:2px;background:none}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 22px;font-size:13.5px;margin:10px 0}
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
@media screen and (max-width:860px){main{padding:22px 14px}.three,.two{grid-template-columns:1fr}
.cam .panels{grid-template-columns:1fr 1fr}}
@media print{body{font-size:11pt;-webkit-print-color-adjust:exact;print-color-adjust:exact}
main{max-width:none;padding:0}nav{display:none}.cards{grid-template-columns:repeat(5,1fr)}
.card{padding:8px 9px}.card p,.card .label{font-size:8pt}.card .value{font-size:15pt}
.card .label .pill{font-size:7pt;padding:0 5px}figcaption{font-size:8pt}ul.todo{columns:2}
.three,.two{break-inside:avoid}h2{margin-top:26px;break-after:avoid}
.wide{overflow:visible}table{font-size:8pt}th,td{padding:3px 4px}.cards{gap:8px}
.cam .panels svg{max-height:150px}@page{margin:14mm}}
"""
